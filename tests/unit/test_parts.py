from models.parts import default_of, joined, normal_locale, others_of, part_for

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


def test_a_locale_is_found_however_it_is_written() -> None:
    parts = {"*": {"*": {"body": "all"}, "zh-Hant": {"body": "繁"}, "de-AT": {"body": "Servus"}}}
    assert part_for(parts, "PUSH", "de_at") == {"body": "Servus"}
    assert part_for(parts, "PUSH", "ZH-hant-tw") == {"body": "繁"}
    assert [normal_locale(each) for each in ("DE", "de_at", "zh-hant-TW", "de-ch-1996")] == [
        "de",
        "de-AT",
        "zh-Hant-TW",
        "de-CH-1996",
    ]


def test_parts_are_taken_apart_and_joined() -> None:
    default, others = {"body": "all"}, {"EMAIL": {"*": {"body": "mail"}}, "*": {"de": {"body": "alle"}}}
    parts = joined(default, others)
    assert (default_of(parts), others_of(parts)) == (default, others)
