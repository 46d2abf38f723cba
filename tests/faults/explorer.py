"""E19: every state that two workers and a few messages can come to, by the real store; what must hold, in each.

Claim, send, record, crash, lapse, rescue, ready, reports of the provider, a person's commands: each in every order,
as often as the budget of faults allows. Two things are looked for. A step after which an invariant does not hold: its
shortest way is told. And a state from which a message cannot come to its end although nothing goes wrong any more.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from models.vocabulary import Channel, OnUnknown
from tests.faults.experiment import Found, Place, Size
from tests.faults.explorer_model import OVER, SLOTS, Budget, Model, Past, Slot, World
from tests.faults.explorer_store import Kind, first

_RETRIED: Final = Kind()
_HELD: Final = Kind(on_unknown=OnUnknown.HOLD)
_ONSITE: Final = Kind(channel=Channel.ONSITE)

_SAY_EVERY: Final = 5_000


@dataclass(frozen=True)
class Scope:
    """What is explored: the messages, and how much may go wrong."""

    kinds: tuple[Kind, ...]
    budget: Budget


@dataclass
class Explored:
    """What came of it. ``trace``: the shortest way to what must not be; ``stuck``: states without a way to an end."""

    states: int = 0
    steps: int = 0
    transactions: int = 0
    trace: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)


def explore(scope: Scope, say: Callable[[str], None]) -> Explored:
    """Visit every state, the nearest first; stop at the first step after which something is wrong."""
    model = Model(scope.kinds)
    begin = _begin(scope)
    found = Explored()
    came_from: dict[World, World | None] = {begin: None}
    plainly: dict[World, list[World]] = defaultdict(list)
    waiting = deque([begin])
    while waiting and not found.trace:
        world = waiting.popleft()
        for step in model.steps(world):
            found.steps += 1
            if step.wrong is not None:
                found.trace = _trace(model, came_from, world, step.said, step.wrong)
                break
            after = model.name(step.world)
            if step.plain:
                plainly[after].append(world)
            if after not in came_from:
                came_from[after] = world
                waiting.append(after)
                if len(came_from) % _SAY_EVERY == 0:
                    say(f"{len(came_from)} states, {found.steps} steps")
    found.states = len(came_from)
    found.transactions = model.store.transactions
    if not found.trace:
        found.stuck = _stuck(model, came_from, plainly)
    return found


def _begin(scope: Scope) -> World:
    messages = len(scope.kinds)
    slots = tuple(Slot("up", ()) for _ in range(SLOTS))
    return World(first(scope.kinds, SLOTS + messages), slots, ((Past(0, 0),),) * messages, scope.budget)


def _stuck(model: Model, came_from: Mapping[World, World | None], plainly: Mapping[World, list[World]]) -> list[str]:
    """For each message, whether some state has no way to its end in which nothing goes wrong."""
    found = []
    for number in range(len(model.kinds)):
        reaching = {world for world in came_from if world.tables.rows[number].state in OVER}
        waiting = deque(reaching)
        while waiting:
            for before in plainly.get(waiting.popleft(), ()):
                if before not in reaching:
                    reaching.add(before)
                    waiting.append(before)
        left = next((world for world in came_from if world not in reaching), None)
        if left is not None:
            way = _trace(model, came_from, left, None, f"message {number + 1} can never come to an end")
            found.append(" > ".join(way))
    return found


def _trace(
    model: Model, came_from: Mapping[World, World | None], last: World, said: str | None, wrong: str
) -> list[str]:
    """The way to ``last``, told with the same names throughout; then what follows, and what is wrong."""
    way = [last]
    while (before := came_from[way[-1]]) is not None:
        way.append(before)
    way.reverse()
    told, world = [], way[0]
    for target in way[1:]:
        step = next(each for each in model.steps(world) if model.name(each.world) == target)
        told.append(step.said)
        world = step.world
    if said is not None:
        told.append(next(each.said for each in model.steps(world) if each.wrong == wrong))
    return [*told, f"WRONG: {wrong}"]


_FEW: Final = Budget(crashes=1, lapses=1, lost_answers=0, bad_answers=1, reports=0, commands=0)
_DEAF: Final = Budget(crashes=1, lapses=1, lost_answers=1, bad_answers=0, reports=0, commands=0)
_MORE: Final = Budget(crashes=1, lapses=1, lost_answers=1, bad_answers=1, reports=1, commands=1)
_DEATHS: Final = Budget(crashes=1, lapses=1, lost_answers=0, bad_answers=0, reports=0, commands=0)
_SHORT: Final = {
    "retry": Scope((_RETRIED,), _FEW),
    "hold": Scope((_HELD,), _FEW),
    "onsite": Scope((_ONSITE,), _DEAF),
}
_WHOLE: Final = {
    "retry": Scope((_RETRIED,), _MORE),
    "hold": Scope((_HELD,), _MORE),
    "onsite": Scope((_ONSITE,), _MORE),
}
_PEERS: Final = Budget(crashes=1, lapses=0, lost_answers=0, bad_answers=1, reports=0, commands=0)
_DEAFER: Final = Budget(crashes=1, lapses=0, lost_answers=1, bad_answers=1, reports=0, commands=0)
_PAIRS: Final = {
    "retry twice": Scope((_RETRIED, _RETRIED), _DEATHS),
    "retry twice, bad and lost answers": Scope((_RETRIED, _RETRIED), _DEAFER),
    "retry and hold, bad answers": Scope((_RETRIED, _HELD), _PEERS),
}
_MORE_PAIRS: Final = {
    "retry and hold": Scope((_RETRIED, _HELD), _DEATHS),
    "retry and hold, bad and lost answers": Scope((_RETRIED, _HELD), _DEAFER),
    "onsite twice": Scope((_ONSITE, _ONSITE), _DEATHS),
}
# In minutes the time goes to two messages: of one, the common sort alone with all that may go wrong.
_SCOPES: Final[Mapping[Size, Mapping[str, Scope]]] = {
    Size.SHORT: _SHORT,
    Size.MINUTES: _SHORT | {"retry": _WHOLE["retry"]} | _PAIRS,
    Size.FULL: _WHOLE | _PAIRS | _MORE_PAIRS,
}


async def run(place: Place, size: Size) -> Found:
    """Explore each scope of this size."""
    figures = {}
    faults = []
    for name, scope in _SCOPES[size].items():
        began = time.monotonic()
        explored = await asyncio.to_thread(explore, scope, place.say)
        figures[name] = {
            "states": explored.states,
            "steps": explored.steps,
            "transactions": explored.transactions,
            "seconds": round(time.monotonic() - began, 1),
        }
        if explored.trace:
            faults.append(f"{name}: {' > '.join(explored.trace)}")
        faults += [f"{name}: {each}" for each in explored.stuck]
    return Found(figures, faults)
