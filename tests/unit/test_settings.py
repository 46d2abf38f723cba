"""Where the data lives, as the environment says."""

from pathlib import Path

import pytest

from models.errors import InvalidSetting
from models.settings import StorageSettings, broker_socket


def test_the_defaults(tmp_path: Path) -> None:
    settings = StorageSettings.read({"WIREROOM_DATA_DIR": str(tmp_path)})
    assert settings.data_dir == tmp_path
    assert settings.database_url == f"sqlite:///{tmp_path}/wireroom.db"
    assert settings.redis_url == f"unix://{tmp_path}/broker.sock"
    assert settings.broker_is_embedded
    assert settings.secret_keys == ()
    assert (settings.log_level, settings.log_format) == ("info", "")


def test_without_a_folder_it_is_var_here() -> None:
    assert StorageSettings.read({}).data_dir == Path("var").absolute()
    assert StorageSettings.read({"WIREROOM_DATA_DIR": ""}).data_dir == Path("var").absolute()


def test_what_is_given_is_taken(tmp_path: Path) -> None:
    settings = StorageSettings.read(
        {
            "WIREROOM_DATA_DIR": str(tmp_path),
            "WIREROOM_DATABASE_URL": "postgresql://db/wireroom",
            "WIREROOM_REDIS_URL": "redis://cache:6379/1",
            "WIREROOM_SECRET_KEY": " new , old,",
            "WIREROOM_LOG_LEVEL": "WARNING",
            "WIREROOM_LOG_FORMAT": "json",
        }
    )
    assert settings.database_url == "postgresql://db/wireroom"
    assert (settings.redis_url, settings.broker_is_embedded) == ("redis://cache:6379/1", False)
    assert settings.secret_keys == ("new", "old")
    assert (settings.log_level, settings.log_format) == ("warning", "json")


@pytest.mark.parametrize(("name", "value"), [("WIREROOM_LOG_LEVEL", "loud"), ("WIREROOM_LOG_FORMAT", "xml")])
def test_what_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        StorageSettings.read({name: value})


def test_a_socket_lies_in_its_folder_where_its_name_fits() -> None:
    folder = Path("/" + "a" * (107 - len("/broker.sock") - 1))
    assert broker_socket(folder) == folder / "broker.sock"
    assert len(str(broker_socket(folder))) == 107


def test_a_long_folder_has_a_short_socket_of_its_own() -> None:
    folder = Path("/" + "a" * (107 - len("/broker.sock")))
    socket = broker_socket(folder)
    assert len(str(socket)) <= 107
    assert socket == broker_socket(folder)
    assert socket != broker_socket(folder / "b")


def test_a_socket_is_measured_in_bytes() -> None:
    assert broker_socket(Path("/" + "é" * 60)).name != "broker.sock"
