"""TLS for clients that use none."""

import ssl
from typing import Final

NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""``verify`` of an HTTP client without TLS. It trusts nobody, and need not be made anew for each of some thousand
clients: the usual one reads the certificates of all the world's authorities, which takes longer than most tests."""
