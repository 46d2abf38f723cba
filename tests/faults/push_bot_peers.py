"""E9: push services and a Bot API that refuse in every way they have, against tables that were written by hand.

What came is what the services had: a push message opened with its browser's keys, and what the bot was asked to send.
It would catch a build that forgets a browser for anything but a 404 or a 410, or keeps it for those; that lets one
stranger's subscription stop everybody's pushes; that sends again to a browser which has it; that goes on writing where
a bot was told to wait or is not wanted; and one that repeats a message after a 502 without saying that it may be twice.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from channels.vapid import new_key
from models.vocabulary import Channel
from tests.faults import rig
from tests.faults.experiment import KEEPERS, Found, Place, Size
from tests.faults.ledger import Ledger
from tests.faults.peers import COUNTS, Case, Court, Shop
from tests.faults.push_bot_oracle import BOT, PUSH, BadBot, BadService, Said
from tests.faults.rig import Rig
from tests.faults.sinks import Noting
from tests.support import push_service
from tests.support.bot_api import BotApi
from tests.support.http_sink import Request
from tests.support.push_service import PushService, encode

_FULL: Final = 100
_PATIENCE_S: Final = {Size.SHORT: 90.0, Size.MINUTES: 150.0, Size.FULL: 400.0}
_NO_OTHER: Final = {"WIREROOM_TELEGRAM_BOT_TOKEN": ""}
"""The operator has no bot: a workspace's own one is looked up at once."""
_KNOWN_AFTER: Final = timedelta(seconds=3)
"""Until then a worker may not have heard of a new sender, and take the operator's."""
_HANG_S: Final = 3_600.0


async def run(place: Place, size: Size) -> Found:
    """Send by services of every kind at once."""
    url = place.server.url(place.server.create())
    count = COUNTS.get(size, _FULL)
    async with (
        rig.opened(
            place.folder, url, seed=place.seed, workers=1, contacts=0, settings=_NO_OTHER, keepers=KEEPERS[size]
        ) as house,
        contextlib.AsyncExitStack() as stack,
    ):
        pushes, asked = Ledger(), Ledger()
        push = Court(house, Channel.PUSH, pushes, place.say)
        bots = Court(house, Channel.TELEGRAM, asked, place.say)
        shop = await Shop.open(house, "pushes")
        first, *others = [bad for bad in PUSH if size in bad.sizes]
        push.add(await _pushed(house, shop, first, stack, pushes, count))
        await push.judge(_PATIENCE_S[size])  # now a service has taken our signature
        house.sinks.bot.asked = Noting(lambda text: asked.note(Channel.TELEGRAM, text))
        async with push.watching(), bots.watching():
            for number, bot in enumerate([bad for bad in BOT if size in bad.sizes], 1):
                bots.add(await _written(house, bot, number, min(count, bot.most)))
            for bad in others:
                push.add(await _pushed(house, shop, bad, stack, pushes, count))
        both = await asyncio.gather(*(court.judge(_PATIENCE_S[size]) for court in (push, bots)))
        figures = {"push": {**push.figures(), "came": pushes.count()}, "bot": {**bots.figures(), "came": asked.count()}}
        return Found(figures, [fault for faults in both for fault in faults])


async def _pushed(
    house: Rig, shop: Shop, bad: BadService, stack: contextlib.AsyncExitStack, ledger: Ledger, count: int
) -> Case:
    """A message to each of so many contacts, who have a browser for each answer."""
    item: dict[str, object] = {"onUnknown": "hold" if bad.hold else "retry"}
    if bad.own:
        shop = await Shop.open(house, bad.name)
        credentials = {"vapidPrivateKey": encode(new_key()), "vapidSubject": "mailto:shop@example.org"}
        await shop.ask("/channels/PUSH", {"name": bad.name, "credentials": credentials})
        item["sendAt"] = (datetime.now(UTC) + _KNOWN_AFTER).isoformat()
    contacts = await shop.ask("/contacts", *[{} for _ in range(count)])
    browsers = []
    for said in bad.answers:
        services = [await _service(stack, said, ledger) for _ in range(count if bad.apart else 1)]
        browsers += [_browser(services[at % len(services)], contact) for at, contact in enumerate(contacts)]
    await shop.ask("/push", *browsers)
    promised = await shop.send(Channel.PUSH, [{"contactId": contact["id"], **item} for contact in contacts])
    messages = {token: (shown, bad.end) for token, shown in promised.items()}
    return Case(bad.name, shop.workspace, messages, rests=bad.own or None)


async def _service(stack: contextlib.AsyncExitStack, said: Said, ledger: Ledger) -> PushService:
    service = await stack.enter_async_context(push_service.running())

    def note(request: Request) -> None:
        ledger.note(Channel.PUSH, service._read(request).payload["body"])

    service.requests = Noting(note)
    if said != Said():
        hang_s = _HANG_S if said.hangs else 0.0
        service.script(said.status, headers=said.fields, delay_s=hang_s, drop="after" if said.cuts else None)
    return service


def _browser(service: PushService, contact: Mapping[str, Any]) -> dict[str, str]:
    made = service.subscribe()
    return {
        "contactId": contact["id"],
        "endpoint": made.endpoint,
        "p256dh": made.p256dh,
        "auth": made.browser.auth,
    }


async def _written(house: Rig, bad: BadBot, number: int, count: int) -> Case:
    """Messages by a bot of a new workspace, each to a chat of its own."""
    shop = await Shop.open(house, bad.name)
    token = f"{number}000000:{'x' * 30}"
    if bad.known:
        house.sinks.bot.tokens.add(token)
    await shop.ask("/channels/TELEGRAM", {"name": bad.name, "credentials": {"botToken": token}})
    (contact,) = await shop.ask("/contacts", {"telegramChatId": str(number)})
    chats = [str(1_000_000 * number + each) for each in range(count)]
    _tell(house.sinks.bot, bad, chats)
    on_unknown = "hold" if bad.hold else "retry"
    items = [{"contactId": contact["id"], "to": chat, "onUnknown": on_unknown} for chat in chats]
    promised = await shop.send(Channel.TELEGRAM, items)
    return Case(bad.name, shop.workspace, {each: (shown, bad.end) for each, shown in promised.items()}, rests=bad.rests)


def _tell(bot: BotApi, bad: BadBot, chats: Sequence[str]) -> None:
    for chat in chats:
        parameters = {"retry_after": bad.retry_after} if bad.retry_after else None
        if bad.moves:
            parameters = {"migrate_to_chat_id": -int(chat)}
        if bad.status:
            bot.refuse(chat, bad.status, bad.words, parameters, once=bad.once)
        if bad.cuts:
            bot.cut(chat)
        if bad.silent:
            bot.fall_silent(chat)
