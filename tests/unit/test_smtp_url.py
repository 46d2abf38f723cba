import pytest

from channels.email import Sender, parse_sender
from channels.smtp_url import Security, SmtpServer, parse_smtp_url
from models.errors import InvalidSetting


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.org", SmtpServer("mail.example.org", 587, Security.STARTTLS)),
        ("smtps://mail.example.org/", SmtpServer("mail.example.org", 465, Security.IMPLICIT)),
        ("smtp+plain://127.0.0.1:1025", SmtpServer("127.0.0.1", 1025, Security.NONE)),
        ("smtp+plain://mail.example.org", SmtpServer("mail.example.org", 25, Security.NONE)),
        (
            "smtp://us%40er:p%3Aa%2Fs%25s@Mail.Example.org:2525?ca=/etc/ca%20file.pem",
            SmtpServer("mail.example.org", 2525, Security.STARTTLS, "us@er", "p:a/s%s", "/etc/ca file.pem"),
        ),
        ("smtp+plain://u:p@localhost", SmtpServer("localhost", 25, Security.NONE, "u", "p")),
        ("smtp+plain://u:p@[::1]:2525", SmtpServer("::1", 2525, Security.NONE, "u", "p")),
        ("smtps://u:p%C3%A9@a.example", SmtpServer("a.example", 465, Security.IMPLICIT, "u", "pé")),
        ("smtp+plain://a.example?connections=1", SmtpServer("a.example", 25, Security.NONE, connections=1)),
        (
            "smtps://a.example?connections=100&ca=x.pem",
            SmtpServer("a.example", 465, Security.IMPLICIT, ca_file="x.pem", connections=100),
        ),
    ],
)
def test_urls_are_read(url: str, server: SmtpServer) -> None:
    assert parse_smtp_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.org",
        "http://a.example",
        "smtp://",
        "smtp://u:geheim@:25",
        "smtp://u:geheim@a.example:99999",
        "smtp://u:geheim@a.example:port",
        "smtp://u:gehe/im@a.example",
        "smtp://u:geheim@a.example/path",
        "smtp://geheim@a.example",
        "smtp://:geheim@a.example",
        "smtp://u:geheim@a.example?verify=no",
        "smtp://u:geheim@a.example?ca=",
        "smtp://u:geheim@a.example?connections=",
        "smtp://u:geheim@a.example?connections=0",
        "smtp://u:geheim@a.example?connections=101",
        "smtp://u:geheim@a.example?connections=-1",
        "smtp://u:geheim@a.example?connections=1.5",
        "smtp://u:geheim@a.example?connections=many",
        "smtp://u:geheim@a.example?connections=1&connections=2",
        "smtp+plain://u:geheim@a.example",
        "smtp+plain://u:geheim@192.0.2.1",
        "smtp+plain://a.example?ca=x.pem",
        "smtp://u:geheim@[::1",
        "smtp://u:geheim@a.example:0",
        "smtp://u:geheim@a\r\n.example",
        "smtp://u:gehe%0d%0aim@a.example",
        "smtp://u%00:geheim@a.example",
    ],
)
def test_other_urls_are_refused_by_the_variables_name_without_the_password(url: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^WIREROOM_SMTP_URL: ") as refused:
        parse_smtp_url(url)
    assert "gehe" not in str(refused.value)


def test_a_password_is_not_in_the_servers_repr() -> None:
    assert "geheim" not in repr(parse_smtp_url("smtps://u:geheim@a.example"))


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("ann@Example.org", Sender("", "ann@example.org")),
        ("Acme Inc. <news@example.org>", Sender("Acme Inc.", "news@example.org")),
        ('"Müller, Zoë" <zoe@bücher.example>', Sender("Müller, Zoë", "zoe@xn--bcher-kva.example")),
        ("日本 <a@example.org>", Sender("日本", "a@example.org")),
    ],
)
def test_senders_are_read(text: str, sender: Sender) -> None:
    assert parse_sender(text) == sender


@pytest.mark.parametrize(
    "text", ["", "Ann", "Ann <>", "Müller, Zoë <zoe@example.org>", "a@b.example\r\nX: y", "zoë@a.example"]
)
def test_other_senders_are_refused_by_the_variables_name(text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^WIREROOM_EMAIL_FROM: "):
        parse_sender(text)
