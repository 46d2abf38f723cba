import pytest

from api_shim.workspaces.rotation import rotated
from channels.standard_webhooks import new_secret
from models.secrets import Keyring

KEYRING = Keyring([b"k" * 32], b"d" * 32)
COLUMNS = {"secret", "secret_previous", "secret_previous_until"}


def test_the_former_secret_stays_beside_the_new_one() -> None:
    former = KEYRING.seal(new_secret().encode(), "test")
    given = new_secret()
    written = rotated(KEYRING, "test", "secret", given, former)
    assert KEYRING.open_text(written.pop("secret"), "test") == given
    assert written["secret_previous"] == former
    assert written["secret_previous_until"] is not None


def test_the_same_secret_is_left_as_it_is() -> None:
    given = new_secret()
    assert rotated(KEYRING, "test", "secret", given, KEYRING.seal(given.encode(), "test")) == {}


LOST = Keyring([b"lost" * 8], b"d" * 32).seal(b"whsec_x", "test")


@pytest.mark.parametrize("former", [None, LOST], ids=["none", "lost"])
def test_where_there_was_none_that_opens_the_new_one_stands_alone(former: bytes | None) -> None:
    written = rotated(KEYRING, "test", "secret", new_secret(), former)
    assert written.keys() == COLUMNS
    assert (written["secret_previous"], written["secret_previous_until"]) == (None, None)
