"""What no mail may hold is refused while the client still listens, and never FAILED after a 200."""

from typing import Any

import pytest

from tests.support.api import Tenant

WORD = "=?utf-8?q?=0D=0ABcc:_evil=40x.example=0D=0A?="
FILE = {"filename": "a", "contentType": "text/plain", "content": "eA=="}


@pytest.mark.parametrize(
    ("fields", "status", "pointer"),
    [
        ({"headers": {"X-A": f"é{WORD}"}}, 422, "#/headers/X-A"),
        ({"headers": {"X-A": "x" * 999}}, 422, "#/headers/X-A"),
        ({"headers": {"X-A": "a\u2029b"}}, 422, "#/headers/X-A"),
        ({"headers": {"Reply-To": 'é: a@b, c@d;;;"'}}, 422, "#/headers/Reply-To"),
        ({"headers": {"X-A": "1", "X-a": "2"}}, 422, "#/headers"),
        ({"to": '"=?utf-8?q?x?="@example.org'}, 422, "#/to"),
        ({"attachments": [FILE | {"contentId": "=?utf-8?q?x?="}]}, 422, "#/attachments/0"),
        ({"attachments": [FILE | {"filename": "a\u0085"}]}, 400, "#/attachments/0/filename"),
        ({"attachments": [FILE | {"filename": "a\u2028"}]}, 400, "#/attachments/0/filename"),
        ({"attachments": [FILE | {"contentType": "text/pl\u009fain"}]}, 400, "#/attachments/0/contentType"),
    ],
    ids=str,
)
async def test_refusals(tenant: Tenant, fields: dict[str, Any], status: int, pointer: str) -> None:
    body = {"contactId": await tenant.contact(), "channel": "EMAIL", "subject": "Hello", "body": "Hi"} | fields
    for answer in (
        await tenant.call("POST", "/messages", json=body),
        await tenant.call("POST", "/messages/batch", json=[body]),
    ):
        whole = answer.json()
        problem = whole["data"][0]["problem"] if answer.status_code == 200 else whole
        assert problem["status"] == status
        assert [error["pointer"] for error in problem["errors"]] == [pointer]
        assert "evil" not in answer.text
    assert (await tenant.get("/messages"))["pagination"]["total"] == 0
