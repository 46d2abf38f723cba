import pytest

from api_shim.problems import Problem
from api_shim.sns_peer import SnsPeer
from channels.guarded_http import Answer
from channels.providers import sns


class Amazon:
    def __init__(self, status: int = 200) -> None:
        self.asked: list[str] = []
        self.status = status

    async def fetch(self, url: str) -> Answer:
        self.asked.append(url)
        return Answer(self.status, "", {}, url.encode())


def message(kind: str, url: str | None) -> sns.SnsMessage:
    return sns.SnsMessage(kind, "m", "t", "", "", "", "2", "", subscribe_url=url)


async def test_certificates_are_remembered_but_not_without_end() -> None:
    amazon = Amazon()
    peer = SnsPeer(amazon.fetch)
    for number in range(17):
        peer.remember(f"u{number}", b"pem")
    assert [await peer.certificate(each) for each in ("u16", "u1", "u0")] == [b"pem", b"pem", b"u0"]
    peer.remember("u16", b"other")
    assert await peer.certificate("u1") == b"pem"
    assert amazon.asked == ["u0"]


async def test_what_is_no_certificate_is_asked_for_again() -> None:
    peer = SnsPeer(Amazon(404).fetch)
    with pytest.raises(Problem) as raised:
        await peer.certificate("u")
    assert raised.value.type.status == 503


@pytest.mark.parametrize("status", [200, 500])
async def test_subscriptions_are_confirmed_in_the_background(status: int) -> None:
    amazon = Amazon(status)
    peer = SnsPeer(amazon.fetch)
    url = "https://sns.eu-west-1.amazonaws.com/?Token=t"
    peer.confirm(message(sns.SUBSCRIPTION, url))
    peer.confirm(message(sns.SUBSCRIPTION, "https://evil.example.net/"))
    peer.confirm(message(sns.NOTIFICATION, url))
    assert amazon.asked == []
    await peer.drain()
    assert amazon.asked == [url]
