"""Telegram chats and what a bot is configured by."""

import pytest

from channels.settings import ChannelSettings
from channels.telegram import TelegramConfig
from channels.telegram_address import check_chat, is_group
from models.errors import InvalidSetting

TOKEN = "1234567:AbC-dEf_123"


@pytest.mark.parametrize(
    ("text", "chat", "group"),
    [
        ("42", "42", False),
        (" +0042 ", "42", False),
        ("-1001234567890", "-1001234567890", True),
        ("-05", "-5", True),
        ("@Example_Channel", "@example_channel", True),
    ],
)
def test_chats(text: str, chat: str, group: bool) -> None:
    assert check_chat(text) == chat
    assert check_chat(chat) == chat
    assert is_group(chat) is group


@pytest.mark.parametrize(
    "text", ["", "0", "-0", "1.5", "12a", "٤٢", "@ab", "@a b c", "example", str(1 << 52), "1" * 999]
)
def test_no_chats(text: str) -> None:
    with pytest.raises(ValueError, match="no Telegram chat") as refused:
        check_chat(text)
    assert not text.strip() or text not in str(refused.value)


def test_the_token_is_shown_nowhere() -> None:
    settings = ChannelSettings.read({"WIREROOM_TELEGRAM_BOT_TOKEN": TOKEN})
    assert settings.telegram_bot_token == TOKEN
    assert TOKEN not in repr(settings)
    assert TOKEN not in repr(TelegramConfig(TOKEN, settings.telegram_api_url))


@pytest.mark.parametrize("token", ["x", "1234567", "1234567:a b", f"{TOKEN}/", f"bot{TOKEN}"])
def test_no_tokens(token: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^WIREROOM_TELEGRAM_BOT_TOKEN: ") as refused:
        ChannelSettings.read({"WIREROOM_TELEGRAM_BOT_TOKEN": token})
    assert token == "x" or token not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "https://api.telegram.org"),
        ("http://127.0.0.1:8081/", "http://127.0.0.1:8081"),
        ("https://bots.example.org/api", "https://bots.example.org/api"),
    ],
)
def test_where_the_bot_api_is(text: str, url: str) -> None:
    assert ChannelSettings.read({"WIREROOM_TELEGRAM_API_URL": text}).telegram_api_url == url


@pytest.mark.parametrize(
    "text", ["x", "ftp://a.example", "https://", "https://a.example/?b", "https://u:p@a.example", "http://[x"]
)
def test_where_it_cannot_be(text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^WIREROOM_TELEGRAM_API_URL: "):
        ChannelSettings.read({"WIREROOM_TELEGRAM_API_URL": text})
