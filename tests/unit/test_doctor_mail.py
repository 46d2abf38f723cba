"""What ``wireroom doctor`` says of how mails prove where they come from."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import dns.asyncresolver
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from channels.dkim import read_keys
from tests.support import name_server
from wireroom.doctor import examine
from wireroom.finding import Finding
from wireroom.ports import free_port

NO_ENCRYPTION = serialization.NoEncryption()
SELECTORS = ("r1", "e1")


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, NO_ENCRYPTION)


async def found(folder: Path, resolver: dns.asyncresolver.Resolver | None = None, /, **settings: str) -> list[Finding]:
    environment = {
        "WIREROOM_DATA_DIR": str(folder),
        "WIREROOM_SMTP_URL": "smtp+plain://127.0.0.1:1",
        "WIREROOM_EMAIL_FROM": "Acme <news@example.org>",
    }
    parts = ("DKIM", "bounces", "settings")
    return [each for each in await examine(environment | settings, resolver) if each.part in parts]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file with a short RSA key and a modern one."""
    file = tmp_path / "dkim.pem"
    file.write_bytes(pem(rsa.generate_private_key(65537, 1024)) + pem(ed25519.Ed25519PrivateKey.generate()))
    return file


async def signed(
    folder: Path, keys: Path, texts: Mapping[str, tuple[str, ...] | None], *, asked: int | None = None
) -> list[Finding]:
    """What is said of both keys where the DNS says this; where somebody else is ``asked``, nothing."""
    settings = {"WIREROOM_DKIM_KEY_FILE": str(keys), "WIREROOM_DKIM_SELECTOR": ",".join(SELECTORS)}
    async with name_server.knowing(texts) as resolver:
        return await found(folder, resolver if asked is None else name_server.asking(asked), **settings)


async def test_it_finds_in_the_dns_what_it_signs_by(tmp_path: Path, keys: Path) -> None:
    short, modern = (key.record() for key in read_keys(keys, SELECTORS))
    published = {
        "r1._domainkey.example.org": (short[:100], short[100:]),
        "e1._domainkey.example.org": (modern.replace("; ", " ;\\010 "),),  # folded, as zone files may be
    }
    weak, good = await signed(tmp_path, keys, published)
    assert (weak.ok, good.ok) == (True, True)
    assert "the DNS has it at r1._domainkey.example.org" in weak.detail
    assert "2048 bits" in str(weak.mend)
    assert "the DNS has it at e1._domainkey.example.org" in good.detail
    assert good.mend is None


async def test_it_shows_the_record_that_the_dns_has_not_or_has_otherwise(tmp_path: Path, keys: Path) -> None:
    other = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    missing, wrong = await signed(tmp_path, keys, {"e1._domainkey.example.org": (other,)})
    assert (missing.ok, wrong.ok) == (False, False)
    assert "the DNS has no TXT record r1._domainkey.example.org" in missing.detail
    assert "r1._domainkey.example.org: v=DKIM1; k=rsa; p=MI" in str(missing.mend)
    assert "the DNS has another key" in wrong.detail
    assert "e1._domainkey.example.org: v=DKIM1; k=ed25519; p=" in str(wrong.mend)
    without, _ = await signed(tmp_path, keys, {"r1._domainkey.example.org": None})
    assert not without.ok
    assert "PRIVATE" not in "".join(f"{each.detail}{each.mend}" for each in (missing, wrong, without))


async def test_where_nobody_answers_it_blames_nobody(tmp_path: Path, keys: Path) -> None:
    for each in await signed(tmp_path, keys, {}, asked=free_port()):
        assert each.ok
        assert "does not say" in each.detail
        assert "publish the TXT record" in str(each.mend)


async def test_it_doubts_mails_that_nobody_signs(tmp_path: Path) -> None:
    (unsigned,) = await found(tmp_path)
    assert (unsigned.part, unsigned.ok) == ("DKIM", True)
    assert "WIREROOM_DKIM_KEY_FILE" in str(unsigned.mend)


@pytest.mark.parametrize("selector", ["", "a b"])
async def test_it_names_the_variable_that_is_wrong(tmp_path: Path, selector: str) -> None:
    (wrong,) = await found(tmp_path, WIREROOM_DKIM_KEY_FILE=str(tmp_path / "none"), WIREROOM_DKIM_SELECTOR=selector)
    assert not wrong.ok
    assert wrong.detail.startswith("WIREROOM_DKIM_SELECTOR")


async def test_it_says_whether_bounces_have_a_way_back(tmp_path: Path) -> None:
    _, nowhere = await found(tmp_path, WIREROOM_BOUNCE_DOMAIN="bounces.example.org")
    assert "bounces.example.org" in nowhere.detail
    assert "WIREROOM_LMTP_BIND" in str(nowhere.mend)
    port = free_port()
    lmtp = {"WIREROOM_LMTP_BIND": f"127.0.0.1:{port}"}
    _, alone = await found(tmp_path, **lmtp)
    assert alone.detail.startswith(f"LMTP on 127.0.0.1:{port} starts with")
    assert "WIREROOM_BOUNCE_DOMAIN" in str(alone.mend)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", port):
        _, both = await found(tmp_path, WIREROOM_BOUNCE_DOMAIN="bounces.example.org", **lmtp)
    assert both.detail == f"to b-…@bounces.example.org; LMTP on 127.0.0.1:{port} answers"
    assert both.mend is None


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.1:99999", ":24", "x:y"])
async def test_it_names_an_lmtp_address_that_is_none(tmp_path: Path, bind: str) -> None:
    (wrong,) = await found(tmp_path, WIREROOM_LMTP_BIND=bind)
    assert not wrong.ok
    assert wrong.detail.startswith("WIREROOM_LMTP_BIND")
