"""``wireroom why``: what holds a message, as the API says it, for a person to read."""

from typing import Any
from urllib.parse import quote

from wireroom.api import Client


async def ask(client: Client, message_id: str) -> dict[str, Any]:
    """What the API answers; raises ApiError."""
    async with client:
        answer: dict[str, Any] = await client.get(f"/messages/{quote(message_id, safe='')}/why")
        return answer


def told(answer: dict[str, Any]) -> str:
    """The status, the sentence, and below it what more there is to know, a line each."""
    lines = [f"{answer['status']}: {answer['because']}"]
    error = answer["lastError"]
    if error is not None:
        said = " ".join(str(error[name]) for name in ("code", "detail") if error[name])
        lines.append(f"last attempt: {error['outcome']} at {error['at']}" + (f": {said}" if said else ""))
    if answer["nextAttemptAt"] is not None:
        lines.append(f"next attempt: {answer['nextAttemptAt']}")
    if answer["expiresAt"] is not None:
        lines.append(f"expires: {answer['expiresAt']}")
    return "\n".join(lines)
