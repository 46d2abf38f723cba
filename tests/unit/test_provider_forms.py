"""Forms, as Mailgun and Mandrill post them: read before anything is proved, and so in bounded time."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qsl

import pytest

from channels.providers import forms
from channels.providers.contract import HookRequest

_MIB: Final = 1 << 20
_MULTIPART: Final = "multipart/form-data; boundary=x"
_PART: Final = b'--x\r\nContent-Disposition: form-data; name="a"'
_END: Final = b"\r\n\r\nv\r\n--x--\r\n"


def form(body: bytes, kind: str = _MULTIPART) -> HookRequest:
    return HookRequest(headers={"content-type": kind}, body=body)


HOSTILE: Final[dict[str, Callable[[], HookRequest]]] = {
    "parameters": lambda: form(_PART + b";" * 5 * _MIB + _END),
    "a parameter without end": lambda: form(_PART + b'; b="' + b";" * 5 * _MIB + _END),
    "folds": lambda: form(_PART + b"\r\n ;" * _MIB + _END),
    "headers": lambda: form(b"--x\r\n" + b"a:\n" * _MIB + _END),
    "long heads": lambda: form((_PART + b";" * 900 + b"\r\n\r\n\r\n") * 999 + b"--x--"),
    "lines": lambda: form(b"--x\r\n\r\n" + b"\n" * 5 * _MIB),
    "a million parts": lambda: form(b"--x\r\n\r\n\r\n" * 500_000),
    "parts within parts": lambda: form(
        b"".join([b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" for _ in range(990)]) + b"\n" * 4 * _MIB
    ),
    "parameters of the type": lambda: form(_PART + _END, _MULTIPART + ';"' * 30_000),
    "boundaries of the type": lambda: form(_PART + _END, "multipart/form-data" + "; boundary=" * 6_000),
    "a million fields": lambda: form(b"a&" * 2 * _MIB, forms.URLENCODED),
    "a long field": lambda: form(b"a=" + b"%41" * 5 * (_MIB // 3), forms.URLENCODED),
    "digits and others": lambda: form(b"a=" + b"%41a" * 5 * (_MIB // 4), forms.URLENCODED),
    "percent signs": lambda: form(b"a=" + b"%" * 5 * _MIB, forms.URLENCODED),
    "equals signs": lambda: form(b"=" * 5 * _MIB, forms.URLENCODED),
}


def seconds(request: HookRequest) -> float:
    begun = time.process_time()
    with suppress(ValueError):
        forms.fields(request)
    return time.process_time() - begun


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_form_takes_a_quarter_of_a_second_at_most(name: str) -> None:
    request = HOSTILE[name]()
    assert min(seconds(request) for _ in range(3)) < 0.25


def test_fields_are_read_in_their_order_and_files_are_left_out() -> None:
    parts = (
        b'Content-Disposition: form-data; name="b"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa9\r\n\r\n',
        b"content-disposition:form-data;name=a\r\n\r\n--\r\nx",
        b'Content-Disposition: form-data; name="file"; filename="name=c"\r\n\r\nno',
        b"Content-Disposition: form-data; name=\"f\"; filename*=UTF-8''x\r\n\r\nno",
        b'Content-Disposition: form-data; name="b; filename=x"\r\n\r\n',
        b"Content-Disposition: attachment; name=d\r\n\r\nno",
        b"X: y\r\n\r\nno",
    )
    body = b"preamble" + b"".join([b"\r\n--b 1\r\n" + part for part in parts]) + b"\r\n--b 1--\r\nepilogue"
    read = forms.fields(form(body, 'Multipart/Form-Data; charset=x; BOUNDARY="b 1"'))
    assert read == [("b", "é\r\n\r\n"), ("a", "--\r\nx"), ("b; filename=x", "")]


@pytest.mark.parametrize(
    "request_",
    [
        form(_PART + b"\r\n\r\nv\r\n--x"),  # cut off
        form(_PART + b"\r\n\r\n\xff\r\n--x--"),
        form(_PART + _END, "multipart/form-data"),
        form(_PART + _END, "multipart/form-data; boundary=" + "x" * 71),
        form(_PART + _END, "text/plain; boundary=x"),
        form((_PART + b"\r\n\r\n\r\n") * 1_001 + b"--x--"),
        form(b"a=%ff", forms.URLENCODED),
        form(b"a&" * 1_001, forms.URLENCODED),
        *(form(b"a=1" + each, forms.URLENCODED) for each in (b"%", b"%4", b"%4g", b"%%41", b"%\n", b"%\r1\n", b"% 1")),
    ],
)
def test_what_is_no_form_is_not_half_read(request_: HookRequest) -> None:
    with pytest.raises(ValueError, match=r"whole|decode|form|boundary|fields|digits"):
        forms.fields(request_)


def test_the_standard_library_reads_the_same_in_what_is_urlencoded() -> None:
    chosen, read = random.Random(7), 0
    for _ in range(20_000):
        body = b"".join(
            chosen.choices((b"%C3%a9", b"%3d", b"%0A", b"%2B", b"+", b"=", b"&", b"\r\n", b"a_", b"\xff"), k=9)
        )
        text = body.decode("utf-8", "surrogateescape")
        try:
            expected = parse_qsl(text, keep_blank_values=True, errors="strict")
            body.decode()
        except ValueError:
            continue
        assert forms.fields(form(body, forms.URLENCODED)) == expected
        read += 1
    assert read > 5_000


def test_a_thousand_fields_are_read() -> None:
    assert len(forms.fields(form((_PART + b"\r\n\r\n\r\n") * 999 + _PART + _END))) == 1_000
