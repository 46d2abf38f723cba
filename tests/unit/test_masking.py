"""An address that is shown to whoever has a link says little."""

from hypothesis import given
from hypothesis import strategies as st

from api_shim.masking import masked
from models.vocabulary import Channel

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_characters="@•"), min_size=2, max_size=64)


@given(NAMES)
def test_of_a_mailbox_one_character_at_most_is_told(name: str) -> None:
    shown = masked(Channel.EMAIL, f"{name}@example.org")
    assert shown in {f"{name[0]}•••@example.org", "•••@example.org"}
    assert (shown == "•••@example.org") is (len(name) == 2)


@given(st.integers(min_value=1, max_value=10**15).map(str))
def test_of_a_chat_two_digits_at_most(chat: str) -> None:
    shown = masked(Channel.TELEGRAM, chat) or ""
    assert len(shown.removeprefix("•••")) <= 2
    assert chat not in shown


def test_of_an_endpoint_its_host() -> None:
    assert masked(Channel.WEBHOOK, "https://example.org:8443/hooks/secret?key=1") == "example.org/•••"


def test_where_the_contact_is_the_address_nothing() -> None:
    assert [masked(channel, "ct_1") for channel in (Channel.PUSH, Channel.ONSITE)] == [None, None]
    assert masked(Channel.EMAIL, None) is None
