"""What ``wireroom doctor`` says of how mails prove where they come from."""

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from wireroom.doctor import Finding, examine
from wireroom.ports import free_port

NO_ENCRYPTION = serialization.NoEncryption()


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, NO_ENCRYPTION)


async def found(folder: Path, **settings: str) -> list[Finding]:
    environment = {
        "WIREROOM_DATA_DIR": str(folder),
        "WIREROOM_SMTP_URL": "smtp+plain://127.0.0.1:1",
        "WIREROOM_EMAIL_FROM": "Acme <news@example.org>",
    }
    return [each for each in await examine(environment | settings) if each.part in ("DKIM", "bounces", "settings")]


async def test_it_shows_the_records_that_the_dns_must_have(tmp_path: Path) -> None:
    keys = tmp_path / "dkim.pem"
    short, modern = rsa.generate_private_key(65537, 1024), ed25519.Ed25519PrivateKey.generate()
    keys.write_bytes(pem(short) + pem(modern))
    weak, good, bounces = await found(
        tmp_path,
        WIREROOM_DKIM_KEY_FILE=str(keys),
        WIREROOM_DKIM_SELECTOR="r1,e1",
        WIREROOM_BOUNCE_DOMAIN="bounces.example.org",
    )
    assert "r1._domainkey.example.org: v=DKIM1; k=rsa; p=MI" in weak.detail
    assert weak.mend is not None
    assert "2048 bits" in weak.mend
    assert "e1._domainkey.example.org: v=DKIM1; k=ed25519; p=" in good.detail
    assert good.mend is None
    assert "bounces.example.org" in bounces.detail
    assert "WIREROOM_LMTP_BIND" in str(bounces.mend)
    assert "PRIVATE" not in "".join(each.detail for each in (weak, good, bounces))


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
