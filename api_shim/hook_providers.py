"""Every provider of hooks on one screen: its adapter, what its hook is made of, and how it is refused."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api_shim import problems
from api_shim.problems import FieldError, Problem, ProblemType
from channels import standard_webhooks
from channels.providers import mailgun, sns
from channels.providers.brevo import BrevoProvider
from channels.providers.contract import HookRequest, ProviderAdapter
from channels.providers.generic import GenericProvider
from channels.providers.mailgun import MailgunProvider
from channels.providers.mailjet import MailjetProvider
from channels.providers.mandrill import MandrillProvider
from channels.providers.postmark import PostmarkProvider
from channels.providers.resend import ResendProvider
from channels.providers.sendgrid import SendGridProvider, read_key
from channels.providers.ses import SesProvider
from channels.providers.sparkpost import SparkPostProvider
from channels.providers.telegram import TelegramProvider, check_secret
from models.evidence import Provider

_PLAIN_KEY: Final = range(8, 201)
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class HookProvider:
    """A provider. ``check_key`` raises ValueError for what is no signing key of its; None: it signs nothing.

    Without an ``adapter`` it sends raw mails, which ``bounce_mail`` reads. ``make_key``: where the key is ours to give.
    ``needs_key``: it shows its key before it is told the hook's address; others show it afterwards, and until the hook
    has it nothing is proved. ``token``: what a request may prove but once. ``by_topic``: messages come from topics that
    the hook names.
    """

    adapter: ProviderAdapter | None = None
    check_key: Callable[[str], object] | None = None
    make_key: Callable[[], str] | None = None
    needs_key: bool = False
    by_topic: bool = False
    token: Callable[[HookRequest], str] | None = None
    refusal: ProblemType = problems.UNAUTHORIZED


def _check_plain_key(text: str) -> None:
    if len(text) not in _PLAIN_KEY or not all("!" <= letter <= "~" for letter in text):
        raise ValueError("must be the provider's key: 8 to 200 visible ASCII characters")


def _new_secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


PROVIDERS: Final[Mapping[Provider, HookProvider]] = {
    Provider.GENERIC: HookProvider(
        GenericProvider(), check_key=standard_webhooks.decode_secret, make_key=standard_webhooks.new_secret
    ),
    Provider.SENDGRID: HookProvider(SendGridProvider(), check_key=read_key),
    Provider.MAILGUN: HookProvider(
        MailgunProvider(),
        check_key=_check_plain_key,
        needs_key=True,
        token=mailgun.token,
        refusal=problems.NOT_ACCEPTABLE,
    ),
    Provider.POSTMARK: HookProvider(PostmarkProvider()),
    Provider.SES: HookProvider(SesProvider(), by_topic=True),
    Provider.RESEND: HookProvider(ResendProvider(), check_key=standard_webhooks.decode_secret),
    Provider.BREVO: HookProvider(BrevoProvider()),
    Provider.MAILJET: HookProvider(MailjetProvider()),
    Provider.SPARKPOST: HookProvider(SparkPostProvider()),
    Provider.MANDRILL: HookProvider(MandrillProvider(), check_key=_check_plain_key),
    Provider.TELEGRAM: HookProvider(TelegramProvider(), check_key=check_secret, make_key=_new_secret),
    Provider.BOUNCE_MAIL: HookProvider(),
}


def signing_key(provider: Provider, given: str | None) -> str | None:
    """The key that a new hook has: the given one, or one that is made, or none yet; raises Problem (400)."""
    known = PROVIDERS[provider]
    if given is None:
        if known.needs_key:
            raise Problem(problems.MISSING_FIELD, errors=(FieldError(f"{provider} signs", "#/signingKey"),))
        return None if known.make_key is None else known.make_key()
    return _checked(provider, given)


def changed_key(provider: Provider, given: str | None) -> str:
    """The key that takes a hook's former one's place; raises Problem (400) for none where none can be made."""
    known = PROVIDERS[provider]
    if given is not None:
        return _checked(provider, given)
    if known.make_key is None:
        raise problems.invalid(f"a key of {provider} cannot be made here", "#/signingKey")
    return known.make_key()


def _checked(provider: Provider, given: str) -> str:
    check = PROVIDERS[provider].check_key
    if check is None:
        raise problems.invalid(f"{provider} has no signing key; basicAuth may protect the hook", "#/signingKey")
    try:
        check(given)
    except ValueError as error:
        raise problems.invalid(str(error), "#/signingKey") from None
    return given


def check_topics(provider: Provider, topic_arns: Sequence[str]) -> None:
    """Raises Problem (400) where a hook that needs topics names none, or another one names any."""
    if not PROVIDERS[provider].by_topic:
        if topic_arns:
            raise problems.invalid("topics are for ses alone", "#/topicArns")
        return
    if not topic_arns:
        raise Problem(problems.MISSING_FIELD, errors=(FieldError("ses needs the topics' ARNs", "#/topicArns"),))
    for place, arn in enumerate(topic_arns):
        try:
            sns.check_topic(arn)
        except ValueError as error:
            raise problems.invalid(str(error), f"#/topicArns/{place}") from None
