"""That what ``docs/add-a-channel.md`` and ``docs/add-a-provider.md`` show does what they ask of it."""

import hashlib
import hmac
import inspect
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import ModuleType
from typing import Any, Final

import pytest

from channels.guarded_http import HttpConfig
from channels.providers.contract import BadSignature, HookRequest, HookSecrets, ProviderAdapter
from models import ids
from models.vocabulary import BounceType, Channel, EventType
from tests.contract import test_channels as contract
from tests.support import http_sink
from tests.support.channel_rigs import WebhookRig
from tests.support.http_sink import HttpSink, Request
from tests.support.page_links import ROOT
from tests.support.rigs import Arrived, Peer, Rig
from tests.support.webhooks import LOOPBACK

Test = Callable[..., Coroutine[Any, Any, None]]

NOW: Final = 1_800_000_000
KEY: Final = "parcels-key"
MESSAGE: Final = "msg_01jz6m4x8e7s3v9k2q5n0w1r4t"
FOLDERS: Final = ("models", "channels", "worker", "api_shim", "wireroom")
ASKED: Final[dict[str, tuple[Any, ...]]] = {
    "warm": (False, True),
    "peer": (Peer.REFUSES_FOR_NOW, Peer.REFUSES_FOR_GOOD, Peer.IS_DEAD, Peer.CUTS, Peer.FALLS_SILENT),
    "value": tuple(contract.HOSTILE.values()),
    "text": tuple(contract.LITERALS.values()),
}
"""What the contract's tests ask for beside a channel, and with what they are run."""


def shown(page: str) -> ModuleType:
    """The Python block of a page, as a module."""
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
    module = ModuleType(f"shown_in_{page.removesuffix('.md').replace('-', '_')}")
    sys.modules[module.__name__] = module  # msgspec looks there for what types are called
    exec(compile(source, page, "exec"), module.__dict__)
    return module


def contract_tests() -> Iterator[tuple[str, Test, dict[str, Any]]]:
    """Each test of the contract that takes a channel, and what else it takes."""
    for name, test in vars(contract).items():
        names = list(inspect.signature(test).parameters) if name.startswith("test_") else []
        if "rig" in names:
            ((asked, values),) = [(each, ASKED[each]) for each in names if each != "rig"] or [("", (None,))]
            for value in values:
                yield name, test, {asked: value} if asked else {}


CONTRACT: Final = list(contract_tests())


class RoomRig(WebhookRig):
    """A room's server."""

    subject_takes_controls = False
    malformed = tuple(Rig.malformed)

    def __init__(self, sink: HttpSink) -> None:
        super().__init__(sink.port, sink)
        self.channel = shown("add-a-channel.md").RoomChannel(HttpConfig(LOOPBACK))

    def _read(self, request: Request) -> Arrived:
        line = request.json()
        return Arrived(
            address=self._sink.url(request.path),
            id=line["id"],
            subject=line["subject"],
            body=line["text"],
            structure=(*sorted(map(str.lower, request.headers)), *line),
        )


@pytest.fixture
async def room() -> AsyncIterator[Rig]:
    async with http_sink.running() as sink:
        rig = RoomRig(sink)
        yield rig
        await rig.channel.close()


@pytest.mark.parametrize(("test", "asked"), [each[1:] for each in CONTRACT], ids=[each[0] for each in CONTRACT])
async def test_the_channel_that_is_shown_keeps_the_contract(room: Rig, test: Test, asked: dict[str, Any]) -> None:
    await test(rig=room, **asked)


def test_every_file_in_which_each_channel_has_its_place_is_named() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts]
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in files}
    places = {
        name
        for name, source in sources.items()
        if all(re.search(rf"\bChannel(Name)?\.{channel.name}\b", source) for channel in Channel)
    }
    assert "worker/retry.py" in places
    page = (ROOT / "docs" / "add-a-channel.md").read_text().partition("## Where it has to be named\n")[2]
    named = set(re.findall(r"`([\w/]+\.\w+)`", page))
    assert places <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.fixture(scope="module")
def parcel() -> ProviderAdapter:
    provider: ProviderAdapter = shown("add-a-provider.md").ParcelProvider()
    return provider


def event(kind: str, number: int = 1) -> dict[str, Any]:
    mail = {"id": "p-7", "to": "ann@example.org", "headers": {"Message-ID": f"<{MESSAGE}.2@example.org>"}}
    return {"id": number, "kind": kind, "time": "2027-01-15T08:00:00Z", "mail": mail, "explanation": "so it is"}


def signed(*events: Any, key: str = KEY, at: int = NOW) -> HookRequest:
    body = json.dumps(events).encode()
    signature = hmac.digest(key.encode(), f"{at}.".encode() + body, hashlib.sha256).hex()
    return HookRequest(headers={"x-parcel-timestamp": str(at), "x-parcel-signature": signature}, body=body)


def refused(provider: ProviderAdapter, request: HookRequest, *keys: str) -> bool:
    try:
        provider.verify(request, HookSecrets(signing_keys=keys or (KEY,)), NOW)
    except BadSignature:
        return True
    return False


def test_the_provider_that_is_shown_believes_who_signs_and_nobody_else(parcel: ProviderAdapter) -> None:
    request = signed(event("delivered"))
    assert not refused(parcel, request)
    assert not refused(parcel, request, "another-key", KEY)
    assert refused(parcel, request, "another-key")
    assert refused(parcel, HookRequest(headers=request.headers, body=request.body + b" "))
    assert refused(parcel, HookRequest(headers={}, body=request.body))
    assert refused(
        parcel, HookRequest(headers={**request.headers, "x-parcel-timestamp": str(NOW + 1)}, body=request.body)
    )
    assert refused(parcel, signed(event("delivered"), at=NOW - 26 * 3600))
    assert refused(parcel, signed(event("delivered"), at=NOW + 600))


def test_it_finds_the_message_and_says_what_each_word_means(parcel: ProviderAdapter) -> None:
    words = {
        "delivered": (EventType.DELIVERED, None),
        "no_such_mailbox": (EventType.BOUNCED, BounceType.HARD),
        "spam_block": (EventType.BOUNCED, BounceType.SOFT),
        "on_our_list": (EventType.FAILED, None),
        "something_new": (EventType.IGNORED, None),
    }
    read = parcel.parse(signed(*(event(kind) for kind in words)))
    assert [(each.provider_event, each.type, each.bounce_type) for each in read] == [
        (kind, *meaning) for kind, meaning in words.items()
    ]
    assert {(each.message_ref, each.run) for each in read} == {(ids.parse(ids.Kind.MESSAGE, MESSAGE), 2)}
    assert {(each.recipient, each.provider_ref, each.at) for each in read} == {("ann@example.org", "p-7", NOW * 1000)}


def test_it_tells_repetitions_and_keeps_what_nobody_can_read(parcel: ProviderAdapter) -> None:
    first, again, other = (parcel.parse(signed(event("opened", number)))[0].dedupe for number in (1, 1, 2))
    assert first == again != other
    for body in (b"", b"[", b"\xff", b"[" * 100_000, b'[1, null, "x", {"kind": {}, "mail": [], "time": 1e400}]', b"{}"):
        read = parcel.parse(HookRequest(headers={}, body=body))
        assert read
        assert {each.type for each in read} == {EventType.IGNORED}
