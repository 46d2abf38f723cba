"""Buttons, photos and documents: what is taken, and where buttons lead to."""

import pytest

from channels.telegram_options import read_options, targets


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://[::1",
        "http://a@b:99999/",
        "https://shop.example:0x50/",
        "https://",
        "https://shop.example/a b",
    ],
)
def test_a_button_leads_to_a_web_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"url|URL"):
        read_options({"buttons": [{"text": "Pay", "url": url}]})


def test_targets_are_ascii_and_whole() -> None:
    urls = ["https://пример.рф/д", "http://ok.example/é?q=1#top", "tg://user?id=7"]
    buttons = [[{"text": "a", "url": url}] for url in urls]
    assert targets({"buttons": buttons}) == [
        "https://xn--e1afmkfd.xn--p1ai/%D0%B4",
        "http://ok.example/%C3%A9?q=1#top",
        "tg://user?id=7",
    ]
