"""Mails of the bounces' corpus, broken at random from a seed: each is read, in time, and nothing of it stays.

A short form stands in tests/unit/bounces; ``make fuzz`` does a hundred thousand.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from channels.bounces.events import event_of
from channels.bounces.reading import parse
from models.evidence import BounceReason
from models.ids import new_id
from models.tokens import Ref
from models.vocabulary import BounceType, EventType
from tests.fuzz.figures import LONGEST_S, Figures
from tests.unit.bounces.corpus import cases

SEED: Final = 20260115
_PIECES: Final = (
    b"\n\n",
    b"\r",
    b"\0",
    b"--=_b.1/x\n",
    b"--=_b.1/x--\n",
    b"Content-Type: multipart/report; boundary=",
    b"Content-Type: message/rfc822\n\n",
    b"Content-Type: text/plain; charset=utf-7\n",
    b"Content-Type: text/plain; charset=\xff\n",
    b"Content-Transfer-Encoding: base64\n",
    b"Content-Transfer-Encoding: quoted-printable\n",
    b"Content-Transfer-Encoding: x-uuencode\n",
    b"Final-Recipient: rfc822;",
    b"Final-Recipient: utf-8; \\x{D800}\\x{FFFFFF}@",
    b"Status: 5.999.999\n",
    b"Status: 5.1.1.1.1\n",
    b"Diagnostic-Code: x-unix; 999999999\n",
    b"From: =?utf-8?q?=\n",
    b"From: =?nothing?b?!!?=\n",
    b'X-Failed-Recipients: "<(,@;:\\\n',
    b"<<<<>>>>",
    b"@@@@",
    b"\xff\xfe\xc3\x28",
)


class Mutator:
    """Breaks texts, the same ones for a seed: the corpus' mails, or others with what may get into them."""

    def __init__(self, seed: int, texts: Sequence[bytes] | None = None, pieces: Sequence[bytes] = _PIECES) -> None:
        self._random = random.Random(seed)
        self._mails = texts or [case.raw for case in cases()]
        self._pieces = pieces

    def mail(self) -> bytes:
        """A broken mail, or other text."""
        raw = self._random.choice(self._mails)
        for _ in range(self._random.choice((1, 1, 2, 3, 8, 30))):
            raw = self.broken(raw)
        return raw[: 1 << 20]

    def broken(self, raw: bytes) -> bytes:
        """The same text, broken in one place."""
        start, end = sorted(self._random.randrange(len(raw) + 1) for _ in range(2))
        before, after, rest = raw[:start], raw[start:], raw[end:]
        piece = raw[start : min(end, start + 200)]
        pick = self._random.choice
        breaks: tuple[Callable[[], bytes], ...] = (
            lambda: before + bytes([self._random.randrange(256)]) + after[1:],
            lambda: before + after[len(piece) :],
            lambda: before + piece + after,
            lambda: before + piece * pick((10, 100, 1000)) + after,
            lambda: before + pick(self._pieces) + after,
            lambda: before + pick(self._mails)[:2000] + rest,
            lambda: raw[:end],
            lambda: raw.replace(b"\n", pick((b"\r", b"\r\n", b"\n\n", b" "))),
            lambda: self._shuffled(raw),
        )
        return pick(breaks)()

    def _shuffled(self, raw: bytes) -> bytes:
        lines = raw.split(b"\n")
        self._random.shuffle(lines)
        return b"\n".join(lines)


def mutate(count: int, seed: int = SEED) -> Figures:
    """Read ``count`` broken mails. Raises AssertionError where a rule breaks."""
    mutator, figures = Mutator(seed), Figures(count)
    for number in range(count):
        raw = mutator.mail()
        begun = time.process_time()
        report = parse(raw)
        taken = time.process_time() - begun
        figures.slowest_s = max(figures.slowest_s, taken)
        assert taken < LONGEST_S, f"number {number} of seed {seed} took {taken:.2f} s"
        for each in report.recipients:
            dead = each.reason in (BounceReason.ADDRESS_DEAD, BounceReason.DNS)
            assert dead or each.bounce_type is not BounceType.HARD, f"number {number} of seed {seed}"
        event = event_of(report, raw, Ref(new_id(), 1))
        assert (event.bounce_type is None) == (event.type is not EventType.BOUNCED)
        assert "\0" not in f"{event.reason}{event.recipient}{event.provider_event}"
        f"{event.reason}{event.recipient}{event.provider_event}".encode()  # no half of a surrogate pair
        figures.look(number)
    figures.check_memory()
    return figures
