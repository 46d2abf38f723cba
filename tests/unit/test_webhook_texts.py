"""What a webhook does with its texts, before it reaches for the network."""

import pytest

from channels.contract import Content
from channels.errors import Permanent
from channels.webhook import WebhookChannel, WebhookConfig
from models.vocabulary import FailureReason
from tests.support.envelopes import envelope


def stop() -> None:
    pytest.fail("nothing may be sent")


async def test_liquid_that_cannot_be_filled_is_refused_for_good() -> None:
    channel = WebhookChannel(WebhookConfig())
    try:
        prepared = channel.prepare(Content(subject="{{ x | size }}", body="{% if x > 2 %}{% endif %}"))
        with pytest.raises(Permanent) as refused:
            await channel.send(envelope("https://www.example.org/", variables={"x": "secret"}, proceed=stop), prepared)
    finally:
        await channel.close()
    assert refused.value.reason is FailureReason.RENDER_ERROR
    assert "secret" not in refused.value.detail


async def test_liquid_that_cannot_be_read_is_refused_for_all() -> None:
    channel = WebhookChannel(WebhookConfig())
    try:
        with pytest.raises(Permanent) as refused:
            channel.prepare(Content(body="{% if %}"))
    finally:
        await channel.close()
    assert refused.value.reason is FailureReason.RENDER_ERROR
