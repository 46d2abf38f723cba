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

In one round trip, a line that dies without a word leaves the end unknown: the server may have read it all. So it is
done only where the line was heard of a moment ago; one that idled may be dead already, and then dies before the content
is written, which blames no message. Nor is a long content sent to a recipient who may be refused, or any content before
a given-up transaction is known to be reset: it could reach that one's recipient.
"""

import asyncio
from collections.abc import Sequence
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


class _Command(NamedTuple):
    phase: Phase
    line: bytes


_RSET: Final = _Command(Phase.SESSION, b"RSET\r\n")
_DATA: Final = _Command(Phase.DATA, b"DATA\r\n")


async def converse(session: Session, transaction: Transaction) -> Verdict:
    """Run one transaction; afterwards ``session.ready`` says whether the session can carry another.

    Raises what ``proceed`` raises, LineBroken where the line failed before the server could accept, Unknown where
    no answer came after that, Permanent where an address is beyond what the server takes.
    """
    verdict = await _run(session, transaction)
    session.heard_at = asyncio.get_running_loop().time()
    session.ready = session.ready and session.line.is_open and verdict.reply.code != CLOSING
    # RFC 3030, section 2: after a BDAT that failed only RSET may follow. It goes along with the next mail's commands.
    session.unfinished = not verdict.accepted
    return verdict


async def _run(session: Session, transaction: Transaction) -> Verdict:
    content = transaction.content
    if not session.offers.chunking:
        content = content.replace(b"\r\n.", b"\r\n..")
        commands = _envelope(session, transaction, len(content))
        refused = await _ask(session, [*commands, _DATA])
        return refused or await _send_content(session, b"", content + b".\r\n", transaction)
    commands = _envelope(session, transaction, len(content))
    announced = b"BDAT %d LAST\r\n" % len(content)
    if _may_go_at_once(session, content):
        return await _send_at_once(session, commands, announced + content, transaction)
    refused = await _ask(session, commands)
    return refused or await _send_content(session, announced, content, transaction)


def _envelope(session: Session, transaction: Transaction, size: int) -> list[_Command]:
    declared = b" SIZE=%d" % size if session.offers.size else b""
    sender, recipient = transaction.sender, transaction.recipient
    if not (sender.isascii() and recipient.isascii()):
        if not session.offers.utf8:
            raise Permanent("the SMTP server takes no address beyond ASCII", reason=FailureReason.INVALID_ADDRESS)
        declared += b" SMTPUTF8"
    mail = b"MAIL FROM:<%b>%b\r\n" % (sender.encode(), declared)
    rcpt = b"RCPT TO:<%b>\r\n" % recipient.encode()
    commands = [_Command(Phase.MAIL, mail), _Command(Phase.RCPT, rcpt)]
    return [_RSET, *commands] if session.unfinished else commands


def _may_go_at_once(session: Session, content: bytes) -> bool:
    if not session.offers.pipelining or session.unfinished or len(content) > _BLOCK_BYTES:
        return False
    return asyncio.get_running_loop().time() - session.heard_at < session.timeouts.trusted_s


async def _ask(session: Session, commands: Sequence[_Command]) -> Verdict | None:
    """Say the commands, together where the server allows it; the first refusal, or None where all went well."""
    session.ready = False
    for group in [commands] if session.offers.pipelining else [[command] for command in commands]:
        session.line.expect(len(group))
        session.line.write(b"".join([command.line for command in group]))
        try:
            replies = await session.line.answers(session.timeouts.command_s)
        except LineBroken as broken:
            replies = broken.replies
            if (refused := _first_refusal(group, replies)) is None:
                raise
            return refused
        if (refused := _first_refusal(group, replies)) is not None:
            session.ready = await _took_no_content(session, group, replies)
            return refused
    return None


def _first_refusal(commands: Sequence[_Command], replies: Sequence[Reply]) -> Verdict | None:
    """The first reply that is not what its command hopes for. Raises LineBroken where RSET failed."""
    for command, reply in zip(commands, replies, strict=False):
        if reply.code == _START_INPUT if command.phase is Phase.DATA else is_success(reply.code):
            continue
        if command.phase is Phase.SESSION:
            raise LineBroken("RSET was refused", [])
        return Verdict(command.phase, reply)
    return None


async def _took_no_content(session: Session, commands: Sequence[_Command], replies: Sequence[Reply]) -> bool:
    """Whether the server expects commands after it refused one of a group; a DATA it went along with is ended empty.

    RFC 2920, section 3.1: a single dot, where DATA was accepted though no recipient was. Where one was, a dot would
    send them an empty mail: the line must go.
    """
    if commands[-1].phase is not Phase.DATA or replies[-1].code != _START_INPUT:
        return True
    answered = zip(commands, replies, strict=True)
    if any(command.phase is Phase.RCPT and is_success(reply.code) for command, reply in answered):
        return False
    try:
        session.line.expect(1)
        session.line.write(b".\r\n")
        await session.line.answers(session.timeouts.command_s)
    except LineBroken:
        return False
    return True


async def _send_at_once(
    session: Session, commands: Sequence[_Command], content: bytes, transaction: Transaction
) -> Verdict:
    """Envelope and content in one write. A refused envelope decides, whatever was answered to the content."""
    session.ready = False
    transaction.proceed()
    session.line.expect(len(commands) + 1)
    session.line.write(b"".join([*[command.line for command in commands], content]))
    try:
        replies = await session.line.answers(session.timeouts.final_dot_s)
    except LineBroken as broken:
        refused = _first_refusal(commands, broken.replies)
        if refused is None:
            # Where not even MAIL was answered, it is the line.
            blame = Blame.RECIPIENT if broken.replies else Blame.SENDER
            raise Unknown(f"no readable answer came after the content ({broken})", blame=blame) from broken
        return refused
    session.ready = True
    return _first_refusal(commands, replies) or Verdict(Phase.CONTENT, replies[-1])


async def _send_content(session: Session, announced: bytes, content: bytes, transaction: Transaction) -> Verdict:
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
    line.write(announced + content[start:])
    try:
        (reply,) = await line.answers(session.timeouts.final_dot_s)
    except LineBroken as broken:
        raise Unknown(f"no readable answer came after the final dot ({broken})") from broken
    session.ready = True
    return Verdict(Phase.CONTENT, reply)


def _answered_early(reply: Reply) -> Verdict:
    """What a server means that answers before it has the whole content: a refusal, or nothing that makes sense."""
    if not 400 <= reply.code <= 599:
        raise LineBroken("the content was answered before its end", [])
    return Verdict(Phase.CONTENT, reply)
