"""docs/audit.md tells every action in the words of the code, and no other."""

import ast
import re
from pathlib import Path
from typing import Final

from models import audit
from models.audit import COMMAND, NOBODY, Action, Actor, ActorKind, Thing, actor, thing
from models.ids import Kind, new_id

ROOT: Final = Path(__file__).parents[2]


def sentences() -> dict[str, str]:
    """Each action and the sentence under it."""
    tree = ast.parse(Path(audit.__file__).read_text(encoding="utf-8"))
    (actions,) = (each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == Action.__name__)
    texts = [each.value.value for each in actions.body[1:] if isinstance(each, ast.Expr)]  # type: ignore[attr-defined]
    return dict(zip([each.value for each in Action], texts, strict=True))


def test_the_page_tells_every_action() -> None:
    page = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+\.[\w-]+)` \| (.*) \|$", page, re.MULTILINE))
    assert told == {action: text.rstrip(".") for action, text in sentences().items()}


def test_an_actor_is_found_by_what_is_shown() -> None:
    for each in (COMMAND, NOBODY, Actor(ActorKind.USER, new_id()), Actor(ActorKind.KEY, new_id())):
        assert actor(each.shown()) == each
    assert [actor(text) for text in ("", "robin", "usr_1", "user", "key")] == [None] * 5


def test_an_object_is_found_by_what_is_shown_in_either_dialect() -> None:
    for kind in Kind:
        assert thing(Thing(kind, known := new_id()).shown()) == Thing(kind, known)
    message = Thing(Kind.MESSAGE, new_id())
    assert thing(message.shown().replace("msg_", "mesg_")) == message
    assert thing("msg_1") is None
