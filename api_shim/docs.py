"""The OpenAPI document, as JSON and as a page that needs nothing from elsewhere, and the meaning of every problem."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Final

import msgspec

from api_shim import problem_help, problems
from api_shim.openapi import Json, document
from api_shim.operations import Call, Operation, Reply

_CODE: Final = re.compile(r"`+([^`]+)`+")
_HTML: Final = "text/html; charset=utf-8"
_TAG: Final = "Documentation"
_ABOUT_PROBLEMS: Final = (
    "Errors are `application/problem+json` (RFC 9457), with a `type` that never changes its meaning; the second "
    "dialect of messages has a short form of its own. `errors` points at the place, in the body or in the query."
)
_STYLE: Final = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 6rem; }
h1 { margin-bottom: 0 } h2 { margin: 3rem 0 .5rem; border-bottom: 1px solid var(--line) }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; padding: .5rem .8rem }
details:target { border-color: currentColor } summary { cursor: pointer }
code, pre { font: 14px/1.45 ui-monospace, monospace } code { overflow-wrap: break-word }
pre { overflow-x: auto; padding: .8rem; background: color-mix(in srgb, currentColor 6%, transparent) }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0 }
.method { display: inline-block; min-width: 5rem; font-weight: 700 }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem } .says { opacity: .75 }
@media (max-width: 40rem) { /* a phone: one cell below the other */
  tr:has(th) { display: none } td { display: block; padding: 0 } tr { display: block; margin: .6rem 0 }
  .method { display: inline } summary > code { display: block }
}
"""
_STYLE_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_SECURED: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Documentation:
    """Shows a table of operations; each form is made once for an address."""

    def __init__(self, documented: Sequence[Operation]) -> None:
        self._documented = documented
        self._json: dict[str, Reply] = {}
        self._pages: dict[str, Reply] = {}

    async def openapi_json(self, call: Call) -> Reply:
        """The OpenAPI document."""
        url = call.services.settings.public_url
        if url not in self._json:
            self._json[url] = Reply(msgspec.json.encode(document(self._documented, url)))
        return self._json[url]

    async def page(self, call: Call) -> Reply:
        """The same as a page."""
        url = call.services.settings.public_url
        if url not in self._pages:
            described = document(self._documented, url)
            self._pages[url] = _html(described["info"]["title"], "".join(_body(described)))
        return self._pages[url]


def operations(rest: Sequence[Operation]) -> tuple[Operation, ...]:
    """The operations that show what is documented: the ``rest``, and themselves."""
    shown: list[Operation] = [*rest]
    documentation = _Documentation(shown)
    own = (
        Operation(
            "GET",
            "/",
            _to_docs,
            summary="Leads to /docs",
            tag=_TAG,
            scope=None,
            responses={302: None},
        ),
        Operation(
            "GET",
            "/favicon.ico",
            _no_icon,
            summary="Nothing: browsers ask for an icon, and there is none",
            tag=_TAG,
            scope=None,
            responses={204: None},
        ),
        Operation(
            "GET",
            "/openapi.json",
            documentation.openapi_json,
            summary="The OpenAPI document",
            tag=_TAG,
            scope=None,
            responses={200: dict[str, Any]},
        ),
        Operation(
            "GET",
            "/docs",
            documentation.page,
            summary="The same as a page",
            tag=_TAG,
            scope=None,
            responses={200: str},
            response_media=_HTML,
        ),
        Operation(
            "GET",
            "/problems/{name}",
            _problem_page,
            summary="What a type of problem means, and how to mend it; `type` leads here",
            tag=_TAG,
            scope=None,
            responses={200: str},
            response_media=_HTML,
            errors=(problems.NOT_FOUND,),
        ),
    )
    shown += own
    return own


async def _to_docs(call: Call) -> Reply:
    # Relative, so that it also leads there behind a proxy that adds a path (RFC 9110, section 10.2.2).
    return Reply(headers={"Location": "docs"})


async def _no_icon(call: Call) -> Reply:
    return Reply(headers={"Cache-Control": "public, max-age=86400"})


async def _problem_page(call: Call) -> Reply:
    for each in problems.ALL_TYPES:
        if each.name == call.path("name"):
            said = problem_help.BY_NAME[each.name]
            return _html(
                each.title,
                f"<h1>{escape(each.title)}</h1><p>HTTP {each.status}, <code>{escape(each.uri)}</code></p>"
                f"<p>{_prose(said.meaning)}</p><p>{_prose(said.mend)}</p>"
                '<p><a href="/docs#problems">All problems</a></p>',
            )
    raise problems.not_found("problem")


def _html(title: str, body: str) -> Reply:
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><body>{body}</body></html>"
    )
    return Reply(page.encode(), headers=_SECURED, media_type=_HTML)


def _body(described: Json) -> Iterator[str]:
    info = described["info"]
    yield f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{_prose(info['description'])}</p>"
    tags = [tag["name"] for tag in described["tags"]]
    links = "".join(f'<a href="#{_anchor(tag)}">{escape(tag)}</a>' for tag in [*tags, "Types", "Problems"])
    yield f'<nav>{links}<a href="/openapi.json">openapi.json</a></nav>'
    for tag in tags:
        yield f'<h2 id="{_anchor(tag)}">{escape(tag)}</h2>'
        for path, methods in described["paths"].items():
            for method, operation in methods.items():
                if tag in operation["tags"]:
                    yield _operation(path, method, operation)
    yield '<h2 id="types">Types</h2>'
    for name, schema in described["components"]["schemas"].items():
        shown = escape(name)
        said = "".join(f"<p>{_prose(part)}</p>" for part in schema.get("description", "").split("\n\n"))
        rest = _json({key: value for key, value in schema.items() if key != "description"})
        yield f'<details id="type-{shown}"><summary><code>{shown}</code></summary>{said}{rest}</details>'
    yield '<h2 id="problems">Problems</h2>'
    yield f"<p>{_prose(_ABOUT_PROBLEMS)}</p>"
    for each in problems.ALL_TYPES:
        explained = problem_help.BY_NAME[each.name]
        yield (
            f'<details id="problem-{escape(each.name)}"><summary><span class="method">{each.status}</span>'
            f'<a href="{escape(each.uri)}"><code>{escape(each.uri)}</code></a> '
            f'<span class="says">{escape(each.title)}</span></summary>'
            f"<p>{_prose(explained.meaning)}</p><p>{_prose(explained.mend)}</p></details>"
        )


def _anchor(tag: str) -> str:
    return escape(tag.lower().replace(",", "").replace(" ", "-"))


def _operation(path: str, method: str, operation: Json) -> str:
    parts = [f'<p class="says">{_prose(operation.get("description", ""))}</p>']
    if operation["parameters"]:
        rows = "".join(
            f"<tr><td><code>{escape(each['name'])}</code><td>{each['in']}<td>{_prose(each.get('description', ''))}"
            f"<td>{_type(each['schema'])}"
            for each in operation["parameters"]
        )
        parts.append(f"<table><tr><th>Parameter<th>In<th>Meaning<th>Type{rows}</table>")
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Takes <code>{escape(media)}</code>: {_choice(content['schema'])}</p>")
        if "example" in content:
            parts.append(_json(content["example"]))
    for status, response in operation["responses"].items():
        types = ", ".join(_type(content["schema"]) for content in response.get("content", {}).values())
        parts.append(f"<p><b>{escape(status)}</b> {_prose(response['description'])} {types}</p>")
        parts += [_json(each["example"]) for each in response.get("content", {}).values() if "example" in each]
    return (
        f'<details><summary><span class="method">{method.upper()}</span><code>{escape(path)}</code> '
        f'<span class="says">{_prose(operation["summary"])}</span></summary>{"".join(parts)}</details>'
    )


def _choice(schema: Json) -> str:
    """What a body may be: a type, or one of several, each with what is said of it."""
    if "anyOf" in schema:
        return "; or ".join(_choice(each) for each in schema["anyOf"])
    said = schema.get("description")
    if "$ref" in schema or said is None:
        return _type(schema)
    return f"{_type({key: value for key, value in schema.items() if key != 'description'})} ({_prose(said)})"


def _type(schema: Json) -> str:
    """What a value is: a link to a named type, "list of" another, or a plain type and its limits."""
    if "allOf" in schema:  # a problem: the types that it may have stand beside it
        return _type(schema["allOf"][0])
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#type-{name}"><code>{name}</code></a>'
    if set(schema) == {"type", "items"}:
        return f"list of {_type(schema['items'])}"
    if not isinstance(schema.get("type"), str):
        return f"<code>{_inline(schema)}</code>"
    known = {key: value for key, value in schema.items() if key not in ("type", "description")}
    limits = [f"{escape(key)} <code>{_inline(value)}</code>" for key, value in known.items()]
    return ", ".join([f"<code>{escape(schema['type'])}</code>", *limits])


def _prose(text: str) -> str:
    """Words with code between backticks, as HTML."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _inline(value: Any) -> str:
    return escape(msgspec.json.encode(value).decode())


def _json(value: Any) -> str:
    return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(value)).decode())}</pre>"
