"""What ``wireroom doctor`` finds of web push: the key pair by which push services know this installation."""

import time
from collections.abc import Callable
from typing import Final

from py_vapid import Vapid02

from channels import vapid
from channels.settings import ChannelSettings
from models import secrets
from models.errors import InvalidSetting, StorageUnavailable
from models.session import Database
from models.settings import StorageSettings
from wireroom.finding import Finding

PART: Final = "web push"
_AUDIENCE: Final = "https://push.example.com"


async def examine(database: Database, storage: StorageSettings, settings: ChannelSettings) -> Finding:
    """Signs with the key, as a push service is asked, and verifies that by its public half. Makes no key."""
    file, subject = settings.vapid_private_key_file, settings.vapid_subject
    try:
        kept = await _kept(database, storage, subject)
    except (secrets.SealBroken, InvalidSetting, StorageUnavailable):
        if file is None:
            return Finding(PART, ok=False, detail="its key cannot be read", mend="mend the secret key first")
        kept = None
    if file is not None:
        return _beside(kept, _tried(vapid.Vapid(vapid.read_key_file(file), subject), f"in {file}", subject))
    if kept is None:
        return without_database(settings)
    return _tried(kept, "in the database", subject)


def without_database(settings: ChannelSettings) -> Finding:
    """The same, where nobody can say which key is kept: one in a file was read with the settings."""
    key = settings.vapid_private_key_file or "made on first start, in the database"
    return Finding(PART, ok=True, detail=f"key: {key}; push services write to {settings.vapid_subject}")


async def _kept(database: Database, storage: StorageSettings, subject: str) -> vapid.Vapid | None:
    """By the key that the database keeps, None where none was made yet; raises SealBroken and InvalidSetting."""
    keys = secrets.present_secret_keys(storage)
    found: list[bytes | None] = []

    async def look(name: str, make: Callable[[], bytes]) -> bytes:
        found.append(await secrets.look_up(database, keys, name))
        return found[0] or make()

    loaded = await vapid.load(None, subject, look)
    return loaded if found[0] is not None else None


def _tried(key: vapid.Vapid, where: str, subject: str) -> Finding:
    if not Vapid02.verify(key.authorization(_AUDIENCE, time.time())):
        mend = f"give {vapid.KEY_VARIABLE} a key as `openssl ecparam -name prime256v1 -genkey -noout` makes it"
        return Finding(PART, ok=False, detail=f"what the key {where} signs cannot be verified", mend=mend)
    said = f"key {where}, its public half {key.public_key}; push services write to {subject}"
    return Finding(PART, ok=True, detail=said)


def _beside(kept: vapid.Vapid | None, given: Finding) -> Finding:
    """What is found of the key in a file, where the database keeps one too."""
    if kept is None or kept.public_key in given.detail:
        return given
    mend = f"browsers that subscribed before {vapid.KEY_VARIABLE} was set have to do so again"
    return Finding(PART, given.ok, f"{given.detail}; the database keeps another", given.mend or mend)
