import pytest

from api_shim.settings import ApiSettings
from models.errors import InvalidSetting


def test_defaults() -> None:
    settings = ApiSettings.read({})
    assert (settings.host, settings.port, settings.public_url) == ("127.0.0.1", 8080, "http://127.0.0.1:8080")


def test_what_is_given() -> None:
    settings = ApiSettings.read({"WIREROOM_BIND": "[::1]:99", "WIREROOM_PUBLIC_URL": "https://mail.example.org/wr/"})
    assert (settings.host, settings.port, settings.public_url) == ("::1", 99, "https://mail.example.org/wr")


def test_no_proxy_is_believed_unless_it_is_named() -> None:
    assert ApiSettings.read({}).proxies == ApiSettings.read({"FORWARDED_ALLOW_IPS": " "}).proxies == ()
    assert ApiSettings.read({"FORWARDED_ALLOW_IPS": "::1, 10.0.0.0/8"}).proxies == ("::1", "10.0.0.0/8")
    assert ApiSettings.read({"FORWARDED_ALLOW_IPS": "*"}).proxies == ("*",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WIREROOM_BIND", "8080"),
        ("WIREROOM_BIND", "host:"),
        ("WIREROOM_BIND", "host:99999"),
        ("WIREROOM_PUBLIC_URL", "mail.example.org"),
        ("WIREROOM_PUBLIC_URL", "ftp://x"),
        ("WIREROOM_PUBLIC_URL", "http://x/?a"),
        ("WIREROOM_PUBLIC_URL", "https://b\u00fccher.example"),
        ("WIREROOM_PUBLIC_URL", "https://x/>"),
        ("FORWARDED_ALLOW_IPS", "proxy"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1/8"),
        ("FORWARDED_ALLOW_IPS", "127.0.0.1,*"),
        ("WIREROOM_MACHINE_NETS", "office"),
        ("WIREROOM_MACHINE_NETS", "10.0.0.1/8"),
        ("WIREROOM_MACHINE_NETS", "a;b=10.0.0.0/8"),
        ("WIREROOM_MACHINE_NETS", "=10.0.0.0/8"),
    ],
)
def test_mistakes_name_the_variable(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        ApiSettings.read({name: value})
