"""That ``docs/life.svg`` shows every status and nothing from elsewhere."""

from typing import Final
from xml.etree import ElementTree

from models.lifecycle import PRECEDENCE
from models.vocabulary import Status
from tests.support.page_links import ROOT

SVG: Final = "{http://www.w3.org/2000/svg}"
PICTURE: Final = ElementTree.parse(ROOT / "docs" / "life.svg").getroot()


def test_it_names_every_status_once() -> None:
    names = [each.text for each in PICTURE.iter(f"{SVG}text") if each.get("class") == "name"]
    assert sorted(names, key=str) == sorted(Status)


def test_who_cannot_see_it_is_told_the_same() -> None:
    told = " ".join(each.text or "" for name in ("title", "desc") for each in PICTURE.iter(f"{SVG}{name}"))
    alternative = (ROOT / "README.md").read_text().partition("](docs/life.svg)")[0].rpartition("![")[2]
    for words in (told, alternative):
        assert {status.value for _, status in PRECEDENCE} <= set(words.replace(",", " ").replace(".", " ").split())


def test_it_loads_and_runs_nothing() -> None:
    assert {each.tag.removeprefix(SVG) for each in PICTURE.iter()} <= {
        *("svg", "title", "desc", "style", "defs", "marker", "path", "rect", "text")
    }
    assert not any("href" in name for each in PICTURE.iter() for name in each.attrib)
