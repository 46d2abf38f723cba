"""What ``wireroom doctor`` finds of DKIM: the keys, and whether the DNS has the public half of each."""

import asyncio
from collections.abc import Mapping

import dns.asyncresolver
import dns.exception
import dns.resolver

from channels.dkim import SHORT_RSA, DkimKey, read_keys
from channels.email import parse_sender
from channels.settings import ChannelSettings
from wireroom.finding import TIMEOUT_S, Finding


async def examine(settings: ChannelSettings, resolver: dns.asyncresolver.Resolver | None = None) -> list[Finding]:
    """A finding for every key. Sender and keys were read with the settings.

    ``resolver``: whom to ask; by default those whom this machine asks for every name.
    """
    if settings.smtp_url is None or settings.email_from is None:
        return []
    if settings.dkim_key_file is None:
        mend = "set WIREROOM_DKIM_KEY_FILE and WIREROOM_DKIM_SELECTOR, unless your mail server signs"
        return [Finding("DKIM", ok=True, detail="mails are not signed", mend=mend)]
    domain = parse_sender(settings.email_from).domain
    keys = read_keys(settings.dkim_key_file, settings.dkim_selectors)
    return list(await asyncio.gather(*(_examine(key, domain, resolver) for key in keys)))


async def _examine(key: DkimKey, domain: str, resolver: dns.asyncresolver.Resolver | None) -> Finding:
    name = f"{key.selector}._domainkey.{domain}"
    publish = f"publish the TXT record {name}: {key.record()}"
    try:
        records = await _texts(name, resolver or _usual())
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return Finding("DKIM", ok=False, detail=f"{key.algorithm}; the DNS has no TXT record {name}", mend=publish)
    except (dns.exception.DNSException, OSError) as error:
        detail = f"{key.algorithm}; the DNS does not say whether it has {name} ({type(error).__name__})"
        return Finding("DKIM", ok=True, detail=detail, mend=publish)
    if _key_in(key.record()) not in [_key_in(record) for record in records]:
        return Finding("DKIM", ok=False, detail=f"{key.algorithm}; the DNS has another key at {name}", mend=publish)
    longer = f"make one of {SHORT_RSA} bits or more, under another selector" if key.is_short else None
    return Finding("DKIM", ok=True, detail=f"{key.algorithm}; the DNS has it at {name}", mend=longer)


def _usual() -> dns.asyncresolver.Resolver:
    """Raises DNSException where this machine asks nobody."""
    resolver = dns.asyncresolver.Resolver()
    resolver.lifetime = TIMEOUT_S
    return resolver


async def _texts(name: str, resolver: dns.asyncresolver.Resolver) -> list[str]:
    """The TXT records of a name, each of its pieces joined (RFC 6376, section 3.6.2.2); raises DNSException."""
    answer = await resolver.resolve(name, "TXT")
    return [b"".join(record.strings).decode("ascii", "replace") for record in answer]


def _key_in(record: str) -> str:
    """What a record's ``p=`` says, without the white space that it may be folded by (RFC 6376, sections 3.2, 3.6.1)."""
    tags: Mapping[str, str] = {
        name.strip(): value for name, _, value in (tag.partition("=") for tag in record.split(";"))
    }
    return "".join(tags.get("p", "").split())
