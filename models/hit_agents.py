"""What a request says of who made it, by its ``User-Agent`` alone (RFC 9110, section 10.1.5)."""

import re
from typing import Final

from models.evidence import HitSignal

_LONGEST: Final = 1024  # characters that are looked at

# They fetch a picture when a person looks at the mail, and hide who that is.
# https://support.google.com/mail/answer/145919, https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html
_PROXIES: Final = re.compile(r"GoogleImageProxy|ggpht\.com|YahooMailProxy", re.IGNORECASE)

# Apple's Mail Privacy Protection fetches every picture when the mail arrives, and says no more than this.
_APPLE_PREFETCH: Final = "Mozilla/5.0"

_SCANNERS: Final = re.compile(
    r"barracuda|bitdefender|cisco ?secure ?email|cloudmark|forcepoint|fortiguard|fortimail|fortinet|fireeye|ironport|"
    r"kaspersky|mailguard|messagelabs|mimecast|proofpoint|safelinks|sophos|spamtitan|symantec|\btmes\b|trend ?micro|"
    r"trellix|trustwave|urldefense|vade ?secure|virustotal|websense|zscaler|"
    r"existence discovery|facebookexternalhit|link ?preview|uri ?preview|url ?preview|whatsapp|"
    r"(?<!cu)bot\b|crawler|spider|\bscan(?:ner)?\b",  # a Cubot is a telephone
    re.IGNORECASE,
)
_LIBRARIES: Final = re.compile(
    r"^(?:aiohttp|apache-httpclient|axios|curl|dart|fasthttp|faraday|go-http-client|got|guzzlehttp|http_request2|httpie|"
    r"java|jakarta|libcurl|libwww-perl|lwp|node|node-fetch|perl|php|postmanruntime|python|reqwest|rest-client|restsharp|"
    r"ruby|scrapy|typhoeus|undici|winhttp|wget|zend)\b"
    r"|python-(?:requests|urllib|httpx)|microsoft\.net|powershell",
    re.IGNORECASE,
)
_HEADLESS: Final = re.compile(
    r"headless|phantomjs|puppeteer|playwright|selenium|webdriver|jsdom|lighthouse|slimerjs|wkhtml", re.IGNORECASE
)

_BY_PATTERN: Final = (
    (HitSignal.SCANNER, _SCANNERS),
    (HitSignal.HEADLESS, _HEADLESS),
    (HitSignal.LIBRARY, _LIBRARIES),
)


def signal_of(agent: str, *, is_picture: bool) -> HitSignal | None:
    """What the user agent tells; None where it is one that people use. ``is_picture``: the picture was asked for."""
    agent = agent[:_LONGEST].strip()
    if not agent:
        return HitSignal.NO_AGENT
    if is_picture:
        if _PROXIES.search(agent):
            return HitSignal.PROXY
        if agent == _APPLE_PREFETCH:
            return HitSignal.APPLE_PREFETCH
    return next((signal for signal, pattern in _BY_PATTERN if pattern.search(agent)), None)
