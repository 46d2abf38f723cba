"""One contract for all channels: the same tests over each, against its real peer."""

import asyncio
import html
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels import registry
from channels.contract import Content, Envelope, Receipt
from channels.errors import Limited, NotStarted, Permanent, SendError, Transient, Unknown
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason
from tests.support import channel_rigs
from tests.support.channel_rigs import AWAY, RUNNING
from tests.support.envelopes import SECRET
from tests.support.rigs import RETRY_AFTER_S, Peer, Rig
from tests.support.scene import channel_settings
from tests.support.waiting import wait_until

CONTENT = Content(subject="Hello {{name}}", body="Your code, {{name}}, is {{code}}.")

HOSTILE = {
    "line breaks": "a\r\nBcc: eve@example.net\r\n\r\nb",
    "lone carriage return": "a\rX-Evil: 1\rb",
    "lone line feed": "a\nX-Evil: 1\nb",
    "end of content": "a\r\n.\r\nMAIL FROM:<eve@example.net>\r\nRCPT TO:<eve@example.net>\r\nDATA\r\nb",
    "bare end of content": "a\n.\nQUIT\nb\r.\rc\r\n.\nd\n.\r\ne",
    "dots": ".\r\n..\r\n.a\r\n.",
    "boundaries": "--=_mixed\r\nContent-Type: text/html\r\n\r\n<b>\r\n--=_alternative--\r\n--=_mixed--",
    "NUL": "a\0b",
    "control characters": "".join(map(chr, [*range(1, 9), 11, 12, *range(14, 32), *range(127, 160)])),
    "quotes": "\"'`\\\"' \\u0041 \\",
    "JSON": '","messageId":"msg_evil","x":{"',
    "markup": "</p><script>alert(1)</script>&amp;<!--",
    "braces": "{{name}} {{ code }} {% evil %} ${x}",
    "encoded word": "=?utf-8?q?=0D=0AX-Evil=3A_1?=",
    "percent": "%0d%0aX-Evil:%201 %s %(name)s =0D=0A=3D= =",
    "unicode": "Zoë 你好 👩‍👩‍👧 é \u202egnirts\u202c \ufeff \u2028 \u2029 \x85 \U0010ffff ß",
    "blanks": "a \r\nb\t\r\n   c",
    "long": "0123456789" * 10_000,
    "long and wide": "ж👍é " * 25_000,
}
CONTROLS = ("\r", "\n", "\0", "\x01", "\x7f", "\x85")

LITERALS = {name: text for name, text in HOSTILE.items() if "{{" not in text}

hostile = pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())


@pytest.fixture(params=RUNNING, ids=str)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """A channel whose peer runs."""
    async with RUNNING[request.param]() as opened:
        yield opened


# What a peer does: on ONSITE there is none, the record itself delivers.
outside = pytest.mark.parametrize("rig", AWAY, indirect=True, ids=str)


@pytest.fixture(params=AWAY, ids=str)
async def away_rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """A channel whose peer does not run."""
    async with channel_rigs.away(AWAY[request.param]) as opened:
        yield opened


async def outcome(rig: Rig, address: str, **variables: str) -> Receipt | SendError:
    """How a send to ``address`` ends."""
    try:
        return await rig.channel.send(rig.envelope(address, variables=variables), rig.channel.prepare(CONTENT))
    except SendError as error:
        return error


def test_every_channel_stands_under_the_contract() -> None:
    assert set(AWAY) == set(RUNNING) - {ChannelName.ONSITE}  # it has no peer that could be away
    assert set(RUNNING) == set(registry.configured(channel_settings(telegram_url="http://127.0.0.1:1")))


async def test_what_arrives_is_what_was_said_filled_for_the_recipient(rig: Rig) -> None:
    address = rig.address("ann")
    message = rig.envelope(address, variables={"name": "Zoë & <Co>", "code": "47-11"})
    receipt = await rig.channel.send(message, rig.channel.prepare(CONTENT))
    assert rig.channel.name is rig.name
    assert receipt.code is not None
    (arrived,) = rig.arrived()
    assert arrived.address == address
    assert not rig.carries_id or message.message_id in arrived.id
    assert arrived.subject == "Hello Zoë & <Co>"
    assert arrived.body == "Your code, Zoë & <Co>, is 47-11."


async def test_a_name_without_a_value_is_empty(rig: Rig) -> None:
    await rig.channel.send(rig.envelope(rig.address("ann")), rig.channel.prepare(CONTENT))
    assert [each.body for each in rig.arrived()] == ["Your code, , is ."]


async def test_values_are_escaped_in_html_and_in_the_body_alone(rig: Rig) -> None:
    value = """<script>'"&amp;</script>"""
    content = Content(subject="Hello {{name}}", body=rig.html_body, format="html")
    await rig.channel.send(rig.envelope(rig.address("ann"), variables={"name": value}), rig.channel.prepare(content))
    (arrived,) = rig.arrived()
    assert arrived.subject == f"Hello {value}"
    assert arrived.body == rig.shown_html(f"<p title='{html.escape(value)}'>{html.escape(value)}</p>")


async def test_one_preparation_serves_every_recipient(rig: Rig) -> None:
    prepared = rig.channel.prepare(CONTENT)
    people = {rig.address(who): who for who in ("ann", "bob", "eve")}
    for address, who in people.items():
        await rig.channel.send(rig.envelope(address, variables={"name": who, "code": "1"}), prepared)
    assert {each.address: each.subject for each in rig.arrived()} == {
        address: f"Hello {who}" for address, who in people.items()
    }


async def test_a_message_sent_twice_has_the_same_id_and_another_one_has_not(rig: Rig) -> None:
    prepared = rig.channel.prepare(CONTENT)
    message, other = rig.envelope(rig.address("ann")), rig.envelope(rig.address("ann"))
    for each in (message, message, other):
        await rig.channel.send(each, prepared)
    first, second, third = rig.arrived()
    if not rig.carries_id:
        assert first.structure == second.structure == third.structure
        return
    assert first.id == second.id != third.id
    assert first == second


async def test_proceed_is_asked_once_before_anything_arrives(rig: Rig) -> None:
    arrived_when_asked: list[int] = []
    message = rig.envelope(rig.address("ann"), proceed=lambda: arrived_when_asked.append(rig.handed_over()))
    await rig.channel.send(message, rig.channel.prepare(CONTENT))
    await rig.channel.send(message, rig.channel.prepare(CONTENT))
    assert arrived_when_asked == [0, 1]


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "kept"])
async def test_a_worker_that_may_not_proceed_sends_nothing(rig: Rig, warm: bool) -> None:
    def stop() -> None:
        raise NotStarted("the lease runs low")

    prepared = rig.channel.prepare(CONTENT)
    if warm:
        await rig.channel.send(rig.envelope(rig.address("first")), prepared)
    with pytest.raises(NotStarted, match=r"^the lease runs low$"):
        await rig.channel.send(rig.envelope(rig.address("ann"), proceed=stop), prepared)
    await rig.channel.send(rig.envelope(rig.address("last")), prepared)
    expected = [rig.address(who) for who in (("first", "last") if warm else ("last",))]
    assert [each.address for each in rig.arrived()] == expected


@outside
async def test_refused_for_now_is_transient(rig: Rig) -> None:
    ended = await outcome(rig, rig.address("ann", Peer.REFUSES_FOR_NOW))
    assert type(ended) is Transient
    assert ended.code is not None
    assert ended.retry_after_s in (None, RETRY_AFTER_S)


@outside
async def test_refused_for_good_is_permanent_with_a_reason_and_the_address_lives(rig: Rig) -> None:
    ended = await outcome(rig, rig.address("ann", Peer.REFUSES_FOR_GOOD))
    assert type(ended) is Permanent
    assert ended.reason in (FailureReason.POLICY, FailureReason.FORBIDDEN_DESTINATION)
    assert not ended.hard


@outside
async def test_a_dead_address_is_permanent_and_hard(rig: Rig) -> None:
    ended = await outcome(rig, rig.address("ann", Peer.IS_DEAD))
    assert type(ended) is Permanent
    assert ended.reason in (FailureReason.ADDRESS_DEAD, FailureReason.BLOCKED, FailureReason.ENDPOINT_GONE)
    assert (ended.hard, ended.bounced) == (rig.dead_is_hard, True)


@outside
@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "kept"])
async def test_a_line_cut_after_the_message_was_handed_over_is_unknown_and_never_repeated(rig: Rig, warm: bool) -> None:
    if warm:
        await outcome(rig, rig.address("first"))
    address = rig.address("ann", Peer.CUTS)
    assert type(await outcome(rig, address)) is Unknown
    assert len(rig.arrived_at(address)) == 1
    assert rig.handed_over() == 1 + warm


async def test_nobody_listening_is_transient(away_rig: Rig) -> None:
    asked: list[bool] = []
    message = away_rig.envelope(away_rig.address("ann"), proceed=lambda: asked.append(True))
    with pytest.raises(Transient) as refused:
        await away_rig.channel.send(message, away_rig.channel.prepare(CONTENT))
    assert type(refused.value) is Transient
    assert asked == []


@outside
async def test_each_recipient_has_an_end_of_its_own(rig: Rig) -> None:
    ends: dict[Peer, type] = {
        Peer.ACCEPTS: Receipt,
        Peer.REFUSES_FOR_NOW: Transient,
        Peer.REFUSES_FOR_GOOD: Permanent,
        Peer.IS_DEAD: Permanent,
        Peer.CUTS: Unknown,
    }
    sends = [(peer, rig.address(f"{peer}-{number}", peer)) for number in range(6) for peer in ends]
    found = await asyncio.gather(*(outcome(rig, address) for _, address in sends))
    assert [type(each) for each in found] == [ends[peer] for peer, _ in sends]


@outside
@pytest.mark.parametrize(
    "peer", [Peer.REFUSES_FOR_NOW, Peer.REFUSES_FOR_GOOD, Peer.IS_DEAD, Peer.CUTS, Peer.FALLS_SILENT]
)
async def test_an_error_tells_nothing_of_the_recipient_or_the_text(rig: Rig, peer: Peer) -> None:
    address = rig.address("ann-canary", peer)
    sending = asyncio.create_task(outcome(rig, address, name="name-canary", code="code-canary"))
    if peer is Peer.FALLS_SILENT:
        await wait_until(rig.handed_over)
        await rig.channel.close()
    ended = await sending
    assert isinstance(ended, SendError)
    assert ended.detail
    for shown in (ended.detail, str(ended), ended.code or ""):
        assert "canary" not in shown
        assert "Hello" not in shown
        assert SECRET not in shown


async def refused_as_too_large(rig: Rig, message: Envelope, prepared: Any, text: str) -> bool:
    """Whether the text is longer than what the channel sends; then nothing of it may arrive."""
    if rig.holds(text):
        return False
    before = rig.handed_over()
    with pytest.raises(Permanent) as refused:
        await rig.channel.send(message, prepared)
    assert (refused.value.reason, refused.value.bounced) == (FailureReason.TOO_LARGE, False)
    assert rig.handed_over() == before
    return True


@hostile
async def test_hostile_values_in_the_body_are_data_and_never_structure(rig: Rig, value: str) -> None:
    content = Content(subject="S", body="<{{value}}>")
    prepared = rig.channel.prepare(content)
    plain, address = rig.address("bob"), rig.address("ann")
    await rig.channel.send(rig.envelope(plain, variables={"value": "value"}), prepared)
    message = rig.envelope(address, variables={"value": value})
    if await refused_as_too_large(rig, message, prepared, value):
        return
    await rig.channel.send(message, prepared)
    benign, arrived = rig.arrived()
    assert arrived.body == rig.shown(f"<{value}>")
    assert (arrived.address, arrived.subject, arrived.structure) == (address, "S", benign.structure)


@pytest.mark.parametrize("text", LITERALS.values(), ids=LITERALS.keys())
async def test_hostile_texts_are_data_and_never_structure(rig: Rig, text: str) -> None:
    await rig.channel.send(rig.envelope(rig.address("bob")), rig.channel.prepare(Content(subject="S", body="plain")))
    message, prepared = rig.envelope(rig.address("ann")), rig.channel.prepare(Content(subject="S", body=f"<{text}>"))
    if await refused_as_too_large(rig, message, prepared, text):
        return
    await rig.channel.send(message, prepared)
    benign, arrived = rig.arrived()
    assert arrived.body == rig.shown(f"<{text}>")
    assert arrived.structure == benign.structure


@hostile
async def test_hostile_values_in_html_are_escaped_data(rig: Rig, value: str) -> None:
    prepared = rig.channel.prepare(Content(subject="S", body=rig.html_body, format="html"))
    await rig.channel.send(rig.envelope(rig.address("bob"), variables={"name": "Bob"}), prepared)
    message = rig.envelope(rig.address("ann"), variables={"name": value})
    if await refused_as_too_large(rig, message, prepared, value):
        return
    await rig.channel.send(message, prepared)
    benign, arrived = rig.arrived()
    assert arrived.body == rig.shown_html(f"<p title='{html.escape(value)}'>{html.escape(value)}</p>")
    assert arrived.structure == benign.structure


@hostile
async def test_hostile_values_in_the_subject_are_data_or_refused(rig: Rig, value: str) -> None:
    prepared = rig.channel.prepare(Content(subject="<{{value}}>", body="B"))
    await rig.channel.send(rig.envelope(rig.address("bob"), variables={"value": "value"}), prepared)
    message = rig.envelope(rig.address("ann"), variables={"value": value})
    if not rig.subject_takes_controls and any(control in value for control in CONTROLS):
        with pytest.raises(Permanent) as refused:
            await rig.channel.send(message, prepared)
        assert refused.value.reason is FailureReason.HEADER_INJECTION
        assert len(rig.arrived()) == 1
        return
    if await refused_as_too_large(rig, message, prepared, value):
        return
    await rig.channel.send(message, prepared)
    benign, arrived = rig.arrived()
    assert (arrived.subject, arrived.body) == (f"<{value}>", "B")
    assert arrived.structure == benign.structure


async def test_fifty_sends_side_by_side_all_arrive_once(rig: Rig) -> None:
    prepared = rig.channel.prepare(CONTENT)
    people = {rig.address(f"person-{number}"): f"code-{number}" for number in range(50)}
    messages = [
        rig.envelope(address, variables={"name": code.upper(), "code": code}) for address, code in people.items()
    ]

    async def send(message: Envelope) -> Receipt:
        while True:  # whom a limit puts off comes again, as a worker's message does
            try:
                return await rig.channel.send(message, prepared)
            except Limited as put_off:
                await asyncio.sleep(put_off.retry_after_s)

    receipts = await asyncio.gather(*map(send, messages))
    assert all(isinstance(receipt, Receipt) for receipt in receipts)
    arrived = rig.arrived()
    assert len(arrived) == 50
    assert {each.address: each.body for each in arrived} == {
        address: f"Your code, {code.upper()}, is {code}." for address, code in people.items()
    }
    assert len({each.id for each in arrived}) == 50


async def test_malformed_contents_are_permanent_when_they_are_prepared(rig: Rig) -> None:
    for content, reason in rig.malformed:
        with pytest.raises(Permanent) as refused:
            rig.channel.prepare(content)
        assert (refused.value.reason, refused.value.hard) == (reason, False)
    assert rig.arrived() == []


@outside
async def test_closing_ends_what_is_under_way_and_lets_nothing_begin(rig: Rig) -> None:
    sends = [
        asyncio.create_task(outcome(rig, rig.address(f"person-{number}", Peer.FALLS_SILENT))) for number in range(20)
    ]
    await wait_until(lambda: rig.handed_over() >= 4)
    handed_over = rig.handed_over()
    async with asyncio.timeout(10):
        await rig.channel.close()
        ends = [type(await send) for send in sends]
        assert set(ends) <= {Unknown, NotStarted, Limited}
        assert ends.count(Unknown) >= handed_over
        assert type(await outcome(rig, rig.address("late"))) is NotStarted
        await rig.channel.close()


async def test_closing_before_anything_was_sent(rig: Rig) -> None:
    async with asyncio.timeout(10):
        await rig.channel.close()
        assert type(await outcome(rig, rig.address("ann"))) is NotStarted
    assert rig.arrived() == []
