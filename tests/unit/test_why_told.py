"""What ``wireroom why`` prints."""

from wireroom.why import told

QUIET = {"status": "QUEUED", "because": "It is ready.", "lastError": None, "nextAttemptAt": None, "expiresAt": None}


def test_a_sentence_stands_alone_where_there_is_no_more() -> None:
    assert told(QUIET) == "QUEUED: It is ready."


def test_what_more_there_is_stands_below_it() -> None:
    error = {"at": "2026-01-15T10:00:00.000Z", "outcome": "transient", "code": "451", "detail": "try later"}
    answer = QUIET | {
        "lastError": error,
        "nextAttemptAt": "2026-01-15T10:01:00.000Z",
        "expiresAt": "2026-01-16T10:00:00.000Z",
    }
    assert told(answer).split("\n") == [
        "QUEUED: It is ready.",
        "last attempt: transient at 2026-01-15T10:00:00.000Z: 451 try later",
        "next attempt: 2026-01-15T10:01:00.000Z",
        "expires: 2026-01-16T10:00:00.000Z",
    ]
    wordless = QUIET | {"lastError": error | {"code": None, "detail": None}}
    assert told(wordless).endswith("last attempt: transient at 2026-01-15T10:00:00.000Z")
