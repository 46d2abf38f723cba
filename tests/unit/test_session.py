"""The URL that an operator writes, and the driver it becomes."""

import pytest

from models.errors import InvalidSetting
from models.session import async_url


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:////data/wireroom.db", "sqlite+aiosqlite:////data/wireroom.db"),
        ("sqlite:///a folder/wireroom.db", "sqlite+aiosqlite:///a folder/wireroom.db"),
        ("postgresql://u:p%40@h:5433/d", "postgresql+asyncpg://u:p%40@h:5433/d"),
        ("postgres://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql+psycopg://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql://h/d?sslmode=require", "postgresql+asyncpg://h/d?ssl=require"),
        ("postgresql://u@/d?host=/run/pg", "postgresql+asyncpg://u@/d?host=/run/pg"),
    ],
)
def test_the_driver_is_ours(given: str, used: str) -> None:
    assert async_url(given).render_as_string(hide_password=False).replace("%2F", "/") == used


@pytest.mark.parametrize("given", ["", "wireroom.db", "mysql://h/d", "redis://h", "sqlite://wireroom.db"])
def test_another_database_is_refused_by_name(given: str) -> None:
    with pytest.raises(InvalidSetting, match="WIREROOM_DATABASE_URL"):
        async_url(given)


@pytest.mark.parametrize("given", ["mysql://user:hunter2@h/d", "sqlite://user:hunter2@h/d", "sqlite://:hunter2@/d"])
def test_a_refusal_shows_no_password(given: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        async_url(given)
    assert "hunter2" not in str(refused.value)
