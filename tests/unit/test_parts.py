from models.parts import part_for

PARTS = {
    "*": {"*": {"body": "all"}, "de": {"body": "alle"}},
    "EMAIL": {"de": {"body": "Mail"}},
}


def test_the_whole_locale_then_its_language_then_any() -> None:
    assert part_for(PARTS, "PUSH", "de-AT") == {"body": "alle"}
    assert part_for(PARTS, "PUSH", "fr") == part_for(PARTS, "PUSH", None) == {"body": "all"}


def test_the_channels_own_parts_come_first() -> None:
    assert part_for(PARTS, "EMAIL", "de_CH") == {"body": "Mail"}
    assert part_for(PARTS, "EMAIL", "fr") == {"body": "all"}


def test_nothing() -> None:
    assert part_for({}, "EMAIL", None) == {}
