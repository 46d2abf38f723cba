"""What schemathesis is told beside its settings: never to revoke the key that it works with."""

import json
import os
from typing import Any

import schemathesis

KEY_VARIABLE = "FUZZ_OWN_KEY"


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: "schemathesis.Case[Any]", **request: Any) -> None:
    """Whoever would change or revoke that key reaches for one that nobody has."""
    own = os.environ[KEY_VARIABLE]
    for name, value in (case.path_parameters or {}).items():
        if value == own:
            case.path_parameters[name] = f"{own[:-4]}zzzz"


@schemathesis.serializer("application/x-ndjson")
def one_line(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """A line of NDJSON; the document's schema is that of a line."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.serializer("message/rfc822")
def mail(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """A mail is the text that it is."""
    return str(value).encode("utf-8", "replace")
