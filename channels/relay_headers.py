"""The header by which a mail relay keeps our id of a message and says it again in its reports.

Each relay reads one of its own, and takes it out of the mail or passes it on; to any other server none is sent. The
id is one word, since a tag of SES holds letters, digits, ``_`` and ``-`` alone. Resend has none: it repeats the
mail's headers, and with them X-Wireroom-Message.
"""

from typing import Final

import msgspec

_NAME: Final = "wireroom"


class RelayHeader(msgspec.Struct, frozen=True):
    """A header's name, and what stands around the id in its value."""

    name: str
    before: str = ""
    after: str = ""

    def line(self, message_id: str, run: int) -> str:
        """The header for one run of a message (``msg_…``), ended by CRLF."""
        return f"{self.name}: {self.before}{message_id}-{run}{self.after}\r\n"


def _json(name: str, *path: str) -> RelayHeader:
    """A header of JSON in which the id lies under these names."""
    return RelayHeader(name, "".join([f'{{"{each}":' for each in path]) + '"', '"' + "}" * len(path))


# By the ends of host names. Sources: docs.sendgrid.com "X-SMTPAPI", documentation.mailgun.com "Sending via SMTP",
# postmarkapp.com/developer "Custom metadata", docs.aws.amazon.com/ses "Amazon SES-specific email headers",
# developers.brevo.com "X-Mailin-custom", dev.mailjet.com "SMTP custom headers", developers.sparkpost.com/api/smtp,
# mailchimp.com/developer/transactional "SMTP integration".
_BY_SUFFIX: Final = {
    "sendgrid.net": _json("X-SMTPAPI", "unique_args", _NAME),
    "mailgun.org": _json("X-Mailgun-Variables", _NAME),
    "postmarkapp.com": RelayHeader(f"X-PM-Metadata-{_NAME}"),
    "brevo.com": RelayHeader("X-Mailin-custom", f"{_NAME}:"),
    "sendinblue.com": RelayHeader("X-Mailin-custom", f"{_NAME}:"),
    "mailjet.com": RelayHeader("X-MJ-CustomID"),
    "sparkpostmail.com": _json("X-MSYS-API", "metadata", _NAME),
    "mandrillapp.com": _json("X-MC-Metadata", _NAME),
}
_SES: Final = RelayHeader("X-SES-MESSAGE-TAGS", f"{_NAME}=")
_SES_LABEL: Final = "email-smtp"
_SES_SUFFIXES: Final = (".amazonaws.com", ".amazonaws.com.cn")


def relay_header(host: str) -> RelayHeader | None:
    """The header that the relay at ``host`` (of ``WIREROOM_SMTP_URL``) reads; None where it is none that we know."""
    name = host.lower().removesuffix(".")
    if name.partition(".")[0].startswith(_SES_LABEL) and name.endswith(_SES_SUFFIXES):
        return _SES
    for suffix, header in _BY_SUFFIX.items():
        if name == suffix or name.endswith(f".{suffix}"):
            return header
    return None
