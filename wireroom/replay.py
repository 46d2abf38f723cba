"""``wireroom replay``: sending again what did not arrive, through the API, some messages at a time.

What was sent again has not failed any more: interrupted, the command is simply given once more.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from models import timestamps
from models.faults import Fault
from models.vocabulary import Channel, FailureReason
from wireroom import moments, options
from wireroom.output import show

if TYPE_CHECKING:
    from wireroom.api import Client

_PATH: Final = "/messages/replay"


def run(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    since: Annotated[str, typer.Option(help="45m, 12h, 30d or 2w ago, a date as 2030-01-31, or a time.")],
    channel: Annotated[Channel | None, typer.Option(case_sensitive=False, help="Only this channel.")] = None,
    reason: Annotated[FailureReason | None, typer.Option(help="Only what failed for this reason.")] = None,
    fault: Annotated[Fault | None, typer.Option(help="Only what is the fault of these.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign, cmp_….")] = None,
    bounced: Annotated[bool, typer.Option("--bounced", help="What BOUNCED, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many messages that would be.")] = False,
    workspace: options.WorkspaceOption = None,
    token: options.TokenOption = None,
    url: options.UrlOption = None,
    as_json: options.AsJson = False,
) -> None:
    """Send again what FAILED since a time, but for what a person called back. Safe to interrupt and to repeat."""
    client = options.client(workspace, token, url)
    try:
        moment = moments.before(since, time.time_ns() // 1_000_000)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None
    filters = {"channel": channel, "reason": reason, "fault": fault, "campaignId": campaign}
    wanted = {"since": timestamps.show(moment), "bounced": bounced}
    wanted |= {name: value for name, value in filters.items() if value is not None}
    done = asyncio.run(_replay(client, wanted, dry_run=dry_run, as_json=as_json))
    show(done, told(done), as_json=as_json)


async def _replay(client: "Client", wanted: dict[str, Any], *, dry_run: bool, as_json: bool) -> dict[str, Any]:
    async with client:
        matching: int = (await client.post(_PATH, wanted | {"dryRun": True}))["matching"]
        if dry_run:
            return {"matching": matching, "retried": 0, "refused": {}}
        if as_json:
            return await send_again(client, wanted, matching, lambda _: None)
        from rich.console import Console  # noqa: PLC0415 - it is only for people
        from rich.progress import Progress  # noqa: PLC0415 - it is only for people

        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("sending again", total=matching)
            return await send_again(client, wanted, matching, lambda count: progress.advance(task, count))


async def send_again(
    client: "Client", wanted: dict[str, Any], matching: int, advance: Callable[[int], None]
) -> dict[str, Any]:
    """Send again all that matches; ``advance`` is told how many more are through. Raises ApiError."""
    retried = 0
    refused: Counter[str] = Counter()
    following: dict[str, str] = {}
    while True:
        answer = await client.post(_PATH, wanted | following)
        retried += answer["retried"]
        refused.update(answer["refused"])
        advance(answer["retried"] + sum(answer["refused"].values()))
        if answer["next"] is None:
            return {"matching": matching, "retried": retried, "refused": dict(refused)}
        following = {"after": answer["next"]}


def told(done: dict[str, Any]) -> str:
    """What there is to say of it."""
    if not done["retried"] and not done["refused"]:
        noun = "message" if done["matching"] == 1 else "messages"
        return f"{done['matching']:,} {noun}"
    said = f"{done['retried']:,} sent again"
    left = ", ".join(f"{reason} {count:,}" for reason, count in sorted(done["refused"].items()))
    return f"{said}; left as they are: {left}" if left else said
