"""No page sends its reader where nothing is."""

from pathlib import Path

import pytest

from tests.support.page_links import PAGES, ROOT, is_there, links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert [target for target in links(page) if not is_there(page, target)] == []


def test_links_are_found_and_judged() -> None:
    assert len([target for page in PAGES for target in links(page)]) > len(PAGES)
    assert is_there(ROOT / "README.md", "docs/operate.md#bounces")
    assert not is_there(ROOT / "README.md", "docs/operate.md#nowhere")
    assert not is_there(ROOT / "README.md", "docs/nowhere.md")
