"""Every page of the console, empty and filled, and what each form and command leads to: how one comes there.

The tests look at them, and the pictures of docs/console.md are taken of them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from playwright.async_api import Browser, BrowserContext, Page

from models import ids
from models.ids import Kind
from models.passwords import Passwords
from models.sandboxes import sandbox_of
from models.session import Database
from models.store import users
from models.vocabulary import Role
from tests.browser.console_world import World, furnish
from tests.support.api import Api, Tenant
from tests.support.people import PASSWORD

ADMIN, MEMBER, LONER, NOBODY = "admin", "member", "loner", "nobody"
_SUBMIT: Final = """
([fields, chosen]) => {
  const forms = [...document.querySelectorAll("main form")];
  const form = forms.find(({ method }) => method === "post");
  for (const [name, value] of Object.entries(fields)) form.elements[name].value = value;
  for (const each of chosen === null ? [] : form.querySelectorAll("[type=checkbox]")) {
    each.checked = chosen.includes(each.name);
  }
  form.noValidate = true;
  form.requestSubmit();
}
"""


@dataclass(frozen=True)
class Scene:
    """A page as one person sees it. ``come`` leads a tab there."""

    name: str
    who: str
    come: Callable[[Page], Awaitable[None]]


@dataclass(frozen=True)
class Stage:
    """All scenes of a workspace, and a browser of each person's."""

    workspace: str
    scenes: list[Scene]
    contexts: Mapping[str, BrowserContext]


@asynccontextmanager
async def stage(api: Api, database: Database, browser: Browser) -> AsyncIterator[Stage]:
    """Furnish a workspace and leave another one empty; people who belong to both, to one and to none."""
    full, empty = await api.tenant(), await api.tenant()
    world = await furnish(full, database)
    people = await _people(database, full, empty)
    async with AsyncExitStack() as opened:
        contexts = {}
        for who in (ADMIN, MEMBER, LONER, NOBODY):
            contexts[who] = await browser.new_context(locale="en-GB", timezone_id="UTC", reduced_motion="reduce")
            opened.push_async_callback(contexts[who].close)
            contexts[who].set_default_timeout(40_000)
            if who in people:
                form: dict[str, str | float | bool] = {"email": people[who], "password": PASSWORD}
                signed = await contexts[who].request.post(f"{api.url}/console/sign-in", form=form, max_redirects=0)
                assert signed.status == 303
        ways = _Ways(f"{api.url}/console", full.workspace, empty.workspace)
        scenes = [*_lists(ways), *_things(ways, world), *_forms(ways, world), *_doors(ways, world)]
        yield Stage(full.workspace, scenes, contexts)


async def _people(database: Database, full: Tenant, empty: Tenant) -> dict[str, str]:
    """The addresses of an admin of both workspaces, a member of one, and somebody of none."""
    emails = {who: f"{who}.{full.workspace[-8:]}@example.org" for who in (ADMIN, MEMBER, LONER)}
    passwords = Passwords()
    hashed = await passwords.hash(PASSWORD)
    passwords.close()
    async with database.write() as connection:
        for who, belongs in ((ADMIN, (full, empty)), (MEMBER, (full,)), (LONER, ())):
            made = await users.create(connection, emails[who], hashed)
            for tenant in belongs:
                workspace = ids.parse(Kind.WORKSPACE, tenant.workspace)
                assert workspace is not None
                await users.join(connection, made.id, workspace, Role.MEMBER if who == MEMBER else Role.ADMIN)
    return emails


@dataclass(frozen=True)
class _Ways:
    """How one comes to pages: of a full workspace, of its sandbox, and of an empty one."""

    console: str
    workspace: str
    empty: str

    @property
    def sandbox(self) -> str:
        """The id of the full workspace's sandbox."""
        found = ids.parse(Kind.WORKSPACE, self.workspace)
        assert found is not None
        return ids.show(Kind.WORKSPACE, sandbox_of(found))

    def at(self, name: str, path: str, *, of: str | None = None, who: str = ADMIN) -> Scene:
        """By its address, below the workspace ``of``."""
        address = f"{self.console}/{of or self.workspace}{path}"

        async def come(page: Page) -> None:
            await page.goto(address)

        return Scene(name, who, come)

    def outside(self, name: str, who: str) -> Scene:
        """The start page of those who chose no workspace yet."""

        async def come(page: Page) -> None:
            await page.goto(self.console)

        return Scene(name, who, come)

    def by_form(
        self, name: str, path: str, /, *, ticks: Sequence[str] | None = None, who: str = ADMIN, **fields: str
    ) -> Scene:
        """By the form of the page at ``path``, filled so; ``ticks``: the boxes that are ticked, None: as they are."""
        address = f"{self.console}/{self.workspace}{path}" if who != NOBODY else self.console

        async def come(page: Page) -> None:
            await page.goto(address)
            async with page.expect_navigation():
                await page.evaluate(_SUBMIT, [fields, ticks])

        return Scene(name, who, come)

    def with_menu(self, name: str) -> Scene:
        """The overview, on which the menu of workspaces is open."""

        async def come(page: Page) -> None:
            await page.goto(f"{self.console}/{self.workspace}")
            await page.locator("summary").click()

        return Scene(name, ADMIN, come)


def _lists(ways: _Ways) -> list[Scene]:
    paths = {
        "overview": "",
        "messages": "/messages",
        "lanes": "/lanes",
        "campaigns": "/campaigns",
        "templates": "/templates",
        "suppressions": "/suppressions",
        "endpoints": "/endpoints",
        "keys": "/keys",
        "users": "/users",
        "audit": "/audit",
    }
    sandbox = ("overview", "messages", "keys", "audit")
    return [
        *(ways.at(name, path) for name, path in paths.items()),
        *(ways.at(f"{name}-empty", path, of=ways.empty) for name, path in paths.items()),
        *(ways.at(f"{name}-sandbox", paths[name], of=ways.sandbox) for name in sandbox),
        ways.at("overview-member", "", who=MEMBER),
        ways.with_menu("menu"),
        ways.at("messages-filtered", "/messages?subject=order&channel=EMAIL"),
        ways.at("messages-nothing", "/messages?subject=zebra"),
        ways.at("messages-whose", "/messages?contact=ann"),
        ways.at("campaigns-beyond", f"/campaigns?before={ids.show(Kind.CAMPAIGN, ids.since(1))}"),
        ways.at("suppressions-filtered", "/suppressions?channel=EMAIL"),
        ways.at("suppressions-nothing", "/suppressions?channel=PUSH"),
        ways.at("audit-filtered", "/audit?actor=command&outcome=done&since=2020-01-01&until=2099-12-31"),
        ways.at("audit-nothing", "/audit?object=key_1&request=req_1&actor=usr_1"),
    ]


def _things(ways: _Ways, world: World) -> list[Scene]:
    paths = {
        "message": f"/messages/{world.message}",
        "messages-older": f"/messages?before={world.held}",
        "message-held": f"/messages/{world.held}",
        "campaign": f"/campaigns/{world.campaign}",
        "campaign-empty": f"/campaigns/{world.idle_campaign}",
        "template": f"/templates/{world.template}",
        "template-text": f"/templates/{world.template}?channel=TELEGRAM&version=1",
        "template-refused": f"/templates/{world.template}?sample=[1]",
        "template-warned": f"/templates/{world.template}?sample=%7B%7D",
        "suppression": f"/suppressions/{world.suppression}",
        "endpoint": f"/endpoints/{world.endpoint}",
        "endpoint-nothing": f"/endpoints/{world.endpoint}?state=failed&page=9",
        "endpoint-off": f"/endpoints/{world.endpoint_off}",
        "key": f"/keys/{world.key}",
        "key-test": f"/keys/{world.test_key}",
        "user": f"/users/{world.user}",
    }
    questions = {
        "message-question": f"/messages/{world.message}/retry",
        "campaign-question": f"/campaigns/{world.campaign}/cancel",
        "endpoint-question": f"/endpoints/{world.endpoint}/pause",
        "key-question": f"/keys/{world.key}/revoke",
        "user-question": f"/users/{world.user}/remove",
    }
    return [ways.at(name, path) for name, path in (paths | questions).items()]


def _forms(ways: _Ways, world: World) -> list[Scene]:
    return [
        ways.at("suppression-form", "/suppressions/add"),
        ways.at("key-form", "/keys/add?test=yes"),
        ways.at("key-form-sandbox", "/keys/add", of=ways.sandbox),
        ways.at("user-form", "/users/add"),
        ways.by_form("suppression-form-refused", "/suppressions/add", address="nobody"),
        ways.by_form("suppression-refused", f"/suppressions/{world.suppression}", note="x" * 201),
        ways.by_form("suppression-added", "/suppressions/add", address="eve@example.org"),
        ways.by_form("released", f"/suppressions/{world.released}", ticks=["resend"]),
        ways.by_form("key-form-refused", "/keys/add", ticks=[], name="No scope"),
        ways.by_form("key-made", "/keys/add", name="A test of the shop", test="yes"),
        ways.by_form("user-form-refused", "/users/add", email="nobody"),
        ways.by_form("user-made", "/users/add", email=f"new.{world.user[-8:]}@example.org"),
        ways.by_form("message-refused", f"/messages/{world.sent}/cancel"),
        ways.by_form("message-retried", f"/messages/{world.failed}/retry"),
        ways.by_form("endpoint-resumed", f"/endpoints/{world.endpoint_paused}/resume"),
        ways.by_form("user-changed", f"/users/{world.user}/member"),
        ways.by_form("campaign-refused", f"/campaigns/{world.ended_campaign}/resume"),
    ]


def _doors(ways: _Ways, world: World) -> list[Scene]:
    return [
        ways.outside("sign-in", NOBODY),
        ways.outside("workspaces", ADMIN),
        ways.outside("workspaces-none", LONER),
        ways.by_form("sign-in-refused", "", who=NOBODY, email="nobody@example.org", password="wrong"),
        ways.at("problem-unknown", "/messages/none"),
        ways.at("problem-filter", "/messages?status=LOST"),
        ways.at("problem-role", "/keys", who=MEMBER),
        ways.by_form("problem-old-form", f"/campaigns/{world.campaign}/pause", csrf="x"),
    ]
