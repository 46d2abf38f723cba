import pytest

from api_shim.sessions import Cookies


@pytest.mark.parametrize(
    ("public_url", "name", "secure"),
    [
        ("https://mail.example.org", "__Host-wireroom_session", True),
        ("https://127.0.0.1:8443", "__Host-wireroom_session", True),
        ("http://127.0.0.1:8080", "wireroom_session", False),
        ("http://localhost:8080", "wireroom_session", False),
        ("http://[::1]:8080", "wireroom_session", False),
        # A browser refuses such a cookie over http: nobody signs in where others can listen.
        ("http://mail.example.org", "wireroom_session", True),
        ("http://localhost.example.org", "wireroom_session", True),
    ],
)
def test_secure_is_left_out_on_loopback_alone(public_url: str, name: str, secure: bool) -> None:
    cookies = Cookies(public_url)
    assert cookies.session == name
    parts = cookies.set(cookies.session, "value", 60).split("; ")
    assert parts[0] == f"{name}=value"
    assert {"Path=/", "Max-Age=60", "HttpOnly", "SameSite=Lax"} <= set(parts)
    assert ("Secure" in parts) is secure
    assert cookies.kept is (public_url.startswith("https:") or not secure)
    assert not [part for part in parts if part.startswith("Domain")]
