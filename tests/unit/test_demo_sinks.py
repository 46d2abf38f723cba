import base64
import json
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest
import pywebpush

from channels.vapid import Vapid, new_key, parse_key
from wireroom.demo_arrivals import Chat, Push
from wireroom.demo_bot import TOKEN, BotApi
from wireroom.demo_http import Answer, Request
from wireroom.demo_push import Browser, PushService

ORIGIN = "http://127.0.0.1:9"
SEND = f"/bot{TOKEN}/sendMessage"


def vapid() -> Vapid:
    return Vapid(parse_key(base64.urlsafe_b64encode(new_key())), "mailto:postmaster@demo.example")


def encrypted(browser: Browser, said: dict[str, Any]) -> bytes:
    told = browser.subscription(ORIGIN)
    keys = {"p256dh": told["p256dh"], "auth": told["auth"]}
    body: bytes = pywebpush.WebPusher({"endpoint": told["endpoint"], "keys": keys}).encode(json.dumps(said).encode())[
        "body"
    ]
    return body


def pushed(
    path: str, body: bytes, signer: Vapid, *, audience: str = ORIGIN, at: float = 0.0, ttl: str = "60"
) -> Request:
    now = time.time()
    headers = {
        "host": "127.0.0.1:9",
        "authorization": signer.authorization(audience, now + at),
        "ttl": ttl,
        "content-encoding": "aes128gcm",
    }
    return Request(path, headers, body, now)


def test_a_push_is_opened_with_its_browsers_keys() -> None:
    arrived: list[Push] = []
    service, signer = PushService(arrived), vapid()
    browser = service.subscribe("/push/a", signer.public_key, is_gone=False)
    answer = service.answer(pushed("/push/a", encrypted(browser, {"body": "日本語"}), signer))
    assert answer.status is HTTPStatus.CREATED
    assert arrived == [Push("/push/a", {"body": "日本語"})]
    assert service.faults == []


def test_a_browser_that_is_gone_takes_nothing() -> None:
    arrived: list[Push] = []
    service, signer = PushService(arrived), vapid()
    browser = service.subscribe("/push/a", signer.public_key, is_gone=True)
    assert service.answer(pushed("/push/a", encrypted(browser, {}), signer)).status is HTTPStatus.GONE
    assert arrived == []
    assert service.faults == []


def test_what_a_push_service_refuses_is_a_fault() -> None:
    arrived: list[Push] = []
    service, signer = PushService(arrived), vapid()
    browser = service.subscribe("/push/a", signer.public_key, is_gone=False)
    other = PushService([]).subscribe("/push/a", signer.public_key, is_gone=False)
    body = encrypted(browser, {})
    wrong = {
        HTTPStatus.NOT_FOUND: [pushed("/push/b", body, signer)],
        HTTPStatus.FORBIDDEN: [
            pushed("/push/a", body, vapid()),
            pushed("/push/a", body, signer, audience="https://push.example"),
            pushed("/push/a", body, signer, at=-86_400),
            Request("/push/a", {"host": "127.0.0.1:9", "ttl": "1"}, body, time.time()),
        ],
        HTTPStatus.BAD_REQUEST: [
            pushed("/push/a", encrypted(other, {}), signer),
            pushed("/push/a", b"x", signer),
            pushed("/push/a", body, signer, ttl=""),
        ],
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: [pushed("/push/a", body + b" " * 4096, signer)],
    }
    answered = {status: {service.answer(one).status for one in those} for status, those in wrong.items()}
    assert answered == {status: {status} for status in wrong}
    assert len(service.faults) == sum(map(len, wrong.values()))
    assert arrived == []


def told(path: str, arrived: list[Chat], **fields: str) -> Answer:
    return BotApi(arrived).answer(Request(path, {}, urlencode(fields).encode(), 1_000.0))


def test_a_chat_keeps_what_it_is_told() -> None:
    arrived: list[Chat] = []
    keyboard = [[{"text": "Renew", "callback_data": "renew"}]]
    markup = json.dumps({"inline_keyboard": keyboard})
    answer = told(SEND, arrived, chat_id="5", text="<b>日本語</b>", parse_mode="HTML", reply_markup=markup)
    assert arrived == [Chat("5", "<b>日本語</b>", "HTML", None, keyboard)]
    said = json.loads(answer.body)
    assert (answer.status, said["ok"], said["result"]["message_id"]) == (HTTPStatus.OK, True, 1)
    assert said["result"]["chat"]["id"] == 5


@pytest.mark.parametrize(
    ("path", "fields", "status", "description"),
    [
        (SEND, {"chat_id": "5", "text": " "}, HTTPStatus.BAD_REQUEST, "Bad Request: message text is empty"),
        (SEND, {"chat_id": "5", "text": "📚" * 2049}, HTTPStatus.BAD_REQUEST, "Bad Request: message is too long"),
        (SEND, {"text": "x"}, HTTPStatus.BAD_REQUEST, "Bad Request: chat not found"),
        ("/bot1:x/sendMessage", {"chat_id": "5", "text": "x"}, HTTPStatus.NOT_FOUND, "Not Found"),
    ],
)
def test_a_chat_refuses_in_the_words_of_the_real_one(
    path: str, fields: dict[str, str], status: HTTPStatus, description: str
) -> None:
    arrived: list[Chat] = []
    answer = told(path, arrived, **fields)
    assert answer.status is status
    assert json.loads(answer.body) == {"ok": False, "error_code": status.value, "description": description}
    assert arrived == []


def test_an_answer_tells_its_length_unless_it_has_no_content() -> None:
    head = b"HTTP/1.1 201 Created\r\nLocation: /1\r\nContent-Length: 2\r\n\r\nok"
    assert Answer(HTTPStatus.CREATED, b"ok", {"Location": "/1"}).encode() == head
    assert Answer(HTTPStatus.NO_CONTENT).encode() == b"HTTP/1.1 204 No Content\r\n\r\n"
