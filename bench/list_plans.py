"""What PostgreSQL does for a list: the statements that a page is made of, each explained as it ran."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import Database

_OF_OTHERS: Final = ("Subquery Scan", "CTE Scan", "Function Scan")
_EXPLAIN: Final = "EXPLAIN (ANALYZE, FORMAT JSON) "


class Plan(msgspec.Struct, frozen=True):
    """One statement's plan. ``milliseconds``: its execution, by the database's measure."""

    statement: str
    milliseconds: float
    root: dict[str, Any]

    @property
    def scans(self) -> list[dict[str, Any]]:
        """Every node that reads a table or an index."""
        return [
            node for node in _nodes(self.root) if "Scan" in node["Node Type"] and node["Node Type"] not in _OF_OTHERS
        ]

    @property
    def rows_read(self) -> int:
        """How many rows the scans gave or threw away, all in all."""
        return sum(
            int(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)))
            for node in self.scans
        )


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(inner for child in node.get("Plans", []) for inner in _nodes(child))]


async def explain(database: Database, work: Callable[[AsyncConnection], Awaitable[object]]) -> list[Plan]:
    """Run ``work``, then each of its SELECTs from a table again, explained, in the same transaction."""
    ran: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        ran.append((statement, parameters))

    plans: list[Plan] = []
    async with database.read() as connection:
        event.listen(database.engine.sync_engine, "before_cursor_execute", note)
        try:
            await work(connection)
        finally:
            event.remove(database.engine.sync_engine, "before_cursor_execute", note)
        for statement, parameters in ran:
            if " FROM " not in statement.replace("\n", " "):
                continue
            found = (await connection.exec_driver_sql(_EXPLAIN + statement, parameters)).scalar_one()
            (told,) = found if isinstance(found, list) else msgspec.json.decode(found)
            plans.append(Plan(statement, float(told["Execution Time"]), told["Plan"]))
    return plans
