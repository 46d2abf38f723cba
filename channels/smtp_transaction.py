"""One mail transaction over an open SMTP session (RFC 5321, section 3.3), in as few round trips as the server allows.

=========================  ===========================================================  ===========
the server offers          what is written at once                                      round trips
=========================  ===========================================================  ===========
nothing                    MAIL · RCPT · DATA · content                                 4
PIPELINING                 MAIL RCPT DATA · content                                     2
CHUNKING                   MAIL · RCPT · BDAT LAST content                              3
both                       MAIL RCPT BDAT LAST content                                  1
both, but not at once      MAIL RCPT · BDAT LAST content                                2
=========================  ===========================================================  ===========

With PIPELINING alone, the content goes in one write with the MAIL, RCPT and DATA of the next mail, where one waits
(RFC 2920, section 3.1): each mail then takes one round trip, too. Its answers are left on the line for the next mail's
own ``converse``. That is done only where the content before was answered at once: a mail that is bound to a line must
not wait for a slow one.

In one round trip, a line that dies without a word leaves the end unknown: the server may have read it all. So it is
done only where the line was heard of a moment ago; one that idled may be dead already, and then dies before the content
is written, which blames no message. Nor is a long content sent to a recipient who may be refused, or any content before
a given-up transaction is known to be reset: it could reach that one's recipient.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from channels.errors import Blame, Permanent, Unknown
from channels.smtp_line import LineBroken, Reply
from channels.smtp_replies import Phase, is_success
from channels.smtp_session import Session, Transaction
from models.vocabulary import FailureReason

_BLOCK_BYTES: Final = 65_536
CLOSING: Final = 421
"""The server hangs up after this reply, whatever it answered (RFC 5321, section 3.8)."""
_START_INPUT: Final = 354


class Verdict(NamedTuple):
    """The reply that decides about the mail, and what it answered."""

    phase: Phase
    reply: Reply

    @property
    def accepted(self) -> bool:
        """Whether the server took the mail over."""
        return self.phase is Phase.CONTENT and is_success(self.reply.code)


_Phases = tuple[Phase, ...]


class _Group(NamedTuple):
    """Commands that are said one after another: a phase for each, and their lines."""

    phases: _Phases
    lines: bytes


Next = Callable[[], Transaction | None]
"""The transaction that is to follow on this session for sure, or None; asked once the content is about to leave."""


def nobody() -> None:
    """No transaction is known to follow."""


_ENVELOPE: Final[_Phases] = (Phase.MAIL, Phase.RCPT)
_AND_DATA: Final[_Phases] = (*_ENVELOPE, Phase.DATA)
_AFTER_RSET: Final = {phases: (Phase.SESSION, *phases) for phases in (_ENVELOPE, _AND_DATA)}


async def converse(session: Session, transaction: Transaction, following: Next = nobody) -> Verdict:
    """Run one transaction; afterwards ``session.ready`` says whether the session can carry another.

    ``session.ahead``: what ``following`` gave, if its envelope is under way: the next ``converse`` must be its.
    Raises what ``proceed`` raises, LineBroken where the line failed before the server could accept, Unknown where
    no answer came after that, Permanent where an address is beyond what the server takes.
    """
    verdict = await _run(session, transaction, following)
    session.heard_at = asyncio.get_running_loop().time()
    session.ready = session.ready and session.line.is_open and verdict.reply.code != CLOSING
    # RFC 3030, section 2: after a BDAT that failed only RSET may follow. It goes along with the next mail's commands.
    session.unfinished = not verdict.accepted
    return verdict


async def _run(session: Session, transaction: Transaction, following: Next) -> Verdict:
    content = transaction.content
    if not session.offers.chunking:
        refused = await _ask_for_data(session, transaction)
        content = content.replace(b"\r\n.", b"\r\n..") + b".\r\n"
        return refused or await _send_content(session, b"", content, transaction, following)
    commands = _envelope(session, transaction, _ENVELOPE)
    announced = b"BDAT %d LAST\r\n" % len(content)
    if _may_go_at_once(session, content):
        return await _send_at_once(session, commands, announced + content, transaction)
    refused = await _ask(session, commands)
    return refused or await _send_content(session, announced, content, transaction, nobody)


async def _ask_for_data(session: Session, transaction: Transaction) -> Verdict | None:
    """Say the envelope and DATA, unless that was done ahead; the first refusal, or None where all went well."""
    is_ahead = session.ahead is transaction
    session.ahead = None
    if is_ahead:
        refused = await _answered(session, _AND_DATA)
        # A server may hold it against this mail that the one before was given up: then it is asked anew.
        if refused is None or not (session.unfinished and refused.phase is Phase.MAIL and session.ready):
            session.unfinished = False
            return refused
    refused = await _ask(session, _envelope(session, transaction, _AND_DATA))
    session.unfinished = False
    return refused


def takes(session: Session, transaction: Transaction) -> bool:
    """Whether the server takes such addresses."""
    return session.offers.utf8 or (transaction.sender.isascii() and transaction.recipient.isascii())


def _envelope(session: Session, transaction: Transaction, phases: _Phases) -> _Group:
    """MAIL, RCPT and perhaps DATA, as ``phases`` say, behind a RSET where one is needed."""
    sender, recipient = transaction.sender, transaction.recipient
    declared = f" SIZE={len(transaction.content)}" if session.offers.size else ""
    if not (sender.isascii() and recipient.isascii()):
        if not session.offers.utf8:
            raise Permanent("the SMTP server takes no address beyond ASCII", reason=FailureReason.INVALID_ADDRESS)
        declared += " SMTPUTF8"
    data = "DATA\r\n" if phases is _AND_DATA else ""
    lines = f"MAIL FROM:<{sender}>{declared}\r\nRCPT TO:<{recipient}>\r\n{data}".encode()
    return _Group(_AFTER_RSET[phases], b"RSET\r\n" + lines) if session.unfinished else _Group(phases, lines)


def _may_go_at_once(session: Session, content: bytes) -> bool:
    if not session.offers.pipelining or session.unfinished or len(content) > _BLOCK_BYTES:
        return False
    return asyncio.get_running_loop().time() - session.heard_at < session.timeouts.trusted_s


async def _ask(session: Session, commands: _Group) -> Verdict | None:
    """Say the commands, together where the server allows it; the first refusal, or None where all went well."""
    for phases, lines in [commands] if session.offers.pipelining else _one_by_one(commands):
        session.line.expect(len(phases))
        session.line.write(lines)
        refused = await _answered(session, phases)
        if refused is not None:
            return refused
    return None


def _one_by_one(commands: _Group) -> list[_Group]:
    lines = commands.lines.splitlines(keepends=True)
    return [_Group((phase,), line) for phase, line in zip(commands.phases, lines, strict=True)]


async def _answered(session: Session, phases: Sequence[Phase]) -> Verdict | None:
    """The first refusal among the answers to a group of commands, or None where all went well."""
    session.ready = False
    try:
        replies = await session.line.answers(len(phases), session.timeouts.command_s)
    except LineBroken as broken:
        if (refused := _first_refusal(phases, broken.replies)) is None:
            raise
        return refused
    if (refused := _first_refusal(phases, replies)) is not None:
        session.ready = await _took_no_content(session, phases, replies)
    return refused


def _first_refusal(phases: Sequence[Phase], replies: Sequence[Reply]) -> Verdict | None:
    """The first reply that is not what its command hopes for. Raises LineBroken where RSET failed."""
    for phase, reply in zip(phases, replies, strict=False):
        if reply.code == _START_INPUT if phase is Phase.DATA else is_success(reply.code):
            continue
        if phase is Phase.SESSION:
            raise LineBroken("RSET was refused", [])
        return Verdict(phase, reply)
    return None


async def _took_no_content(session: Session, phases: Sequence[Phase], replies: Sequence[Reply]) -> bool:
    """Whether the server expects commands after it refused one of a group; a DATA it went along with is ended empty.

    RFC 2920, section 3.1: a single dot, where DATA was accepted though no recipient was. Where one was, a dot would
    send them an empty mail: the line must go.
    """
    if phases[-1] is not Phase.DATA or replies[-1].code != _START_INPUT:
        return True
    answered = zip(phases, replies, strict=True)
    if any(phase is Phase.RCPT and is_success(reply.code) for phase, reply in answered):
        return False
    try:
        session.line.expect(1)
        session.line.write(b".\r\n")
        await session.line.answers(1, session.timeouts.command_s)
    except LineBroken:
        return False
    return True


async def _send_at_once(session: Session, commands: _Group, content: bytes, transaction: Transaction) -> Verdict:
    """Envelope and content in one write. A refused envelope decides, whatever was answered to the content."""
    session.ready = False
    transaction.proceed()
    phases = commands.phases
    session.line.expect(len(phases) + 1)
    session.line.write(commands.lines + content)
    try:
        replies = await session.line.answers(len(phases) + 1, session.timeouts.final_dot_s)
    except LineBroken as broken:
        refused = _first_refusal(phases, broken.replies)
        if refused is None:
            # Where not even MAIL was answered, it is the line.
            blame = Blame.RECIPIENT if broken.replies else Blame.SENDER
            raise Unknown(f"no readable answer came after the content ({broken})", blame=blame) from broken
        return refused
    session.ready = True
    return _first_refusal(phases, replies) or Verdict(Phase.CONTENT, replies[-1])


async def _send_content(
    session: Session, announced: bytes, content: bytes, transaction: Transaction, following: Next
) -> Verdict:
    """Write the content and wait for its verdict; a long one but for its last block first.

    So ``proceed`` is asked when the last byte is about to leave, not when a long mail begins to.
    """
    line = session.line
    session.ready = False
    line.expect(1)
    start = 0
    while len(content) - start > _BLOCK_BYTES:
        try:
            line.write(announced + content[start : start + _BLOCK_BYTES])
            await line.drain(session.timeouts.block_s)
        except LineBroken:
            if not line.replies:
                raise
        if line.replies:
            return _answered_early(line.replies[0])
        announced = b""
        start += _BLOCK_BYTES
    transaction.proceed()
    clock = asyncio.get_running_loop().time
    began = clock()
    line.write(b"".join([announced, content[start:], _say_ahead(session, following)]))
    try:
        (reply,) = await line.answers(1, session.timeouts.final_dot_s)
    except LineBroken as broken:
        raise Unknown(f"no readable answer came after the final dot ({broken})") from broken
    session.ready = True
    session.quick = clock() - began < session.timeouts.quick_s
    return Verdict(Phase.CONTENT, reply)


def _say_ahead(session: Session, following: Next) -> bytes:
    """The envelope of the mail that is to follow, where there is one and the server takes it so early."""
    if not (session.quick and session.offers.pipelining) or (next_one := following()) is None:
        return b""
    session.ahead = next_one
    session.line.expect(len(_AND_DATA))
    return _envelope(session, next_one, _AND_DATA).lines


def _answered_early(reply: Reply) -> Verdict:
    """What a server means that answers before it has the whole content: a refusal, or nothing that makes sense."""
    if not 400 <= reply.code <= 599:
        raise LineBroken("the content was answered before its end", [])
    return Verdict(Phase.CONTENT, reply)
