"""A tour of pages, each at every width and in both schemes; what can be seen of one without eyes."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page, expect

from tests.browser.console_scenes import Scene, Stage
from tests.browser.tabs import side_by_side
from tests.support.browser import Watch

# From the narrow one on: a page that is made wider afterwards keeps what its scripts did for a phone.
WIDTHS: Final = {390: 844, 1440: 900}
Scheme = Literal["light", "dark"]
SCHEMES: Final[tuple[Scheme, ...]] = ("dark", "light")

_FITS: Final = """
() => {
  const shown = (each) => each.getClientRects().length > 0;
  const named = (each) => `${each.localName}.${each.className} "${each.textContent.trim().slice(0, 40)}"`;
  const boxes = `.card, .standing, .question, .letter, .tiles a, .notice, .alert, .list, .scroll, .filters > *,
    .choices a`;
  const wide = [...document.querySelectorAll(boxes)].filter((each) => each.scrollWidth > each.clientWidth + 1);
  const outside = [...document.querySelectorAll("main *")].filter((each) => {
    const { left, right } = each.getBoundingClientRect();
    return shown(each) && !each.closest(".scroll, .unseen, svg") && (left < -1 || right > innerWidth + 1);
  });
  // As wide as its chosen word wants it.
  const cut = [...document.querySelectorAll("main select")].filter(shown).filter((each) => {
    const probe = each.cloneNode(false);
    probe.append(each.selectedOptions[0].cloneNode(true));
    Object.assign(probe.style, { position: "absolute", width: "max-content" });
    each.parentElement.append(probe);
    const wanted = probe.offsetWidth;
    probe.remove();
    return wanted > each.offsetWidth + 1;
  });
  const root = document.documentElement;
  return [
    ...(root.scrollWidth > innerWidth ? [`the page is ${root.scrollWidth} wide`] : []),
    ...wide.map((each) => `what is in it juts out of ${named(each)}`),
    ...cut.map((each) => `the chosen word is cut in ${each.name} "${each.selectedOptions[0].text}"`),
    ...outside.map((each) => `outside of the window: ${named(each)}`),
  ];
}
"""
_AXE: Final = """
async ([rules]) => {
  // A frame of a mail has no script, so nothing of ours can look into it: its words are the mail's own.
  const given = { resultTypes: ["violations"], preload: false, ...rules };
  const { violations } = await axe.run({ exclude: ["iframe"] }, given);
  const where = (nodes) => nodes.map(({ html }) => html.slice(0, 200)).join(" | ");
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${where(nodes)}`);
}
"""
_ALL_RULES: Final[dict[str, Any]] = {"rules": {"target-size": {"enabled": True}}}
# What of a page depends on its colours alone.
_OF_COLOURS: Final[dict[str, Any]] = {"runOnly": ["color-contrast", "link-in-text-block"]}


@dataclass(frozen=True)
class View:
    """A window."""

    width: int
    scheme: Scheme


VIEWS: Final = [View(width, scheme) for width in WIDTHS for scheme in SCHEMES]


async def tour(
    stage: Stage, look: Callable[[Scene, Page, View], Awaitable[None]], *, only: Iterable[str] = ()
) -> list[Watch]:
    """Come to each scene once and look at it in every view, in several tabs at once; what watched over them."""
    wanted = set(only)
    watches: list[Watch] = []

    async def walk(left: Iterator[Scene]) -> None:
        pages: dict[str, Page] = {}
        for scene in left:
            if scene.who not in pages:
                pages[scene.who] = await stage.contexts[scene.who].new_page()
                watches.append(Watch.over(pages[scene.who]))
            page = pages[scene.who]
            await show(page, VIEWS[0])
            await scene.come(page)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            for view in VIEWS:
                await show(page, view)
                await look(scene, page, view)

    await side_by_side([scene for scene in stage.scenes if not wanted or scene.name in wanted], walk)
    return watches


async def show(page: Page, view: View) -> None:
    """Make the tab's window that view."""
    await page.set_viewport_size({"width": view.width, "height": WIDTHS[view.width]})
    await page.emulate_media(color_scheme=view.scheme)


async def faults_of(page: Page, view: View) -> Sequence[str]:
    """What is wrong with how a page looks: it does not fit, or axe-core finds something."""
    first = view.scheme == SCHEMES[0]
    found = await page.evaluate(_FITS) if first else []
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    return [*found, *await page.evaluate(_AXE, [_ALL_RULES if first else _OF_COLOURS])]
