from io import BytesIO
from uuid import UUID

import pytest

from models import ids
from models.ids import Kind
from wireroom.message_files import Fault, Form, Line, check, form_of, read
from wireroom.send_file import batches

# Always the same: it stands in names of tests, which each process of a run must find alike.
CONTACT = ids.show(Kind.CONTACT, UUID(int=1))


def faults(text: str | bytes, form: Form = Form.CSV) -> list[str]:
    raw = text if isinstance(text, bytes) else text.encode()
    found: list[Fault] = []
    for line in read(BytesIO(raw), form):
        found += check(line) if isinstance(line, Line) else [line]
    return [str(fault) for fault in found]


def requests(text: str, form: Form = Form.CSV) -> list[dict[str, object]]:
    return [item.request for batch in batches(BytesIO(text.encode()), form, "run") for item in batch]


def keys(text: str, form: Form = Form.CSV, run: str = "run") -> list[str]:
    return [item.request["idempotencyKey"] for batch in batches(BytesIO(text.encode()), form, run) for item in batch]


def test_columns_are_fields_and_dots_lead_inside() -> None:
    text = (
        "\ufeffcontactId,channel,body,step,essential,tracking.opens,metadata.order.id,headers.X-A.b,attachments,subject\r\n"
        f'{CONTACT},EMAIL,"Hello, ""Ann"",\r\nline two",3,TRUE,false,0012,yes,'
        '"[{""filename"": ""a.txt"", ""contentType"": ""text/plain"", ""content"": ""YQ==""}]",\r\n'
        "\r\n"
        f"{CONTACT},EMAIL,Bye,,,,,,,Subject\r\n"
    )
    assert faults(text) == []
    first, second = requests(text)
    del first["idempotencyKey"], second["idempotencyKey"]
    assert first == {
        "contactId": CONTACT,
        "channel": "EMAIL",
        "body": 'Hello, "Ann",\r\nline two',
        "step": 3,
        "essential": True,
        "tracking": {"opens": False},
        "metadata": {"order": {"id": "0012"}},
        "headers": {"X-A.b": "yes"},
        "attachments": [{"filename": "a.txt", "contentType": "text/plain", "content": "YQ=="}],
    }
    assert second == {"contactId": CONTACT, "channel": "EMAIL", "body": "Bye", "subject": "Subject"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("contactId,channel,bodi\n", ["line 1, bodi: no field of a message"]),
        ("contactId,contactId\n", ["line 1, contactId: two columns of this name"] * 2),
        ("metadata,metadata.a\n", ["line 1, metadata.a: part of another column"]),
        ("tracking.clics\n", ["line 1, tracking.clics: no field of a message"]),
        (
            f"contactId;channel;body\n{CONTACT};EMAIL;x\n\n\n{CONTACT};FAX;x\n",
            ["line 5, channel: must be one of EMAIL, PUSH, TELEGRAM, ONSITE, WEBHOOK"],
        ),
        (f"contactId\tchannel\tbody\n{CONTACT}\tEMAIL\n", ["line 2: 2 cells for 3 columns"]),
        (f'contactId,channel,body\n{CONTACT},EMAIL,"a\nb"\n{CONTACT},EMAIL\n', ["line 4: 2 cells for 3 columns"]),
        (f"contactId,channel,body,step\n{CONTACT},EMAIL,x,one\n", ["line 2, step: expected `int`, got `str`"]),
        (
            f"contactId,channel,body,essential\n{CONTACT},EMAIL,x,yes\n",
            ["line 2, essential: expected `bool`, got `str`"],
        ),
        (f"contactId,channel,body,options\n{CONTACT},EMAIL,x,{{\n", ["line 2, options: no JSON"]),
        (f"contactId,channel\n{CONTACT},EMAIL\n", ["line 2, body: either body or templateId is required"]),
        ("contactId,channel,body\nct_x,EMAIL,x\n", ["line 2, contactId: There is no such contact."]),
        (f"contactId,channel,body,to\n{CONTACT},PUSH,x,a@example.org\n", ["line 2, to: not on PUSH"]),
        (f'contactId,channel,body\n{CONTACT},EMAIL,"x\n', ["line 2: no CSV: unexpected end of data"]),
    ],
)
def test_each_fault_of_a_csv_file_names_line_and_field(text: str, said: list[str]) -> None:
    assert faults(text) == said


def test_bytes_that_are_no_utf_8_are_placed() -> None:
    assert faults(b"contactId,channel,body\n" + f"{CONTACT},EMAIL,".encode() + b"caf\xe9\n") == ["line 2: not UTF-8"]


def test_each_fault_of_an_ndjson_file_names_line_and_field() -> None:
    good = f'{{"contactId": "{CONTACT}", "channel": "EMAIL", "body": "x"}}'
    lines = [
        good,
        "",
        good.replace('"body"', '"bodi"'),
        good[:-1],
        "[1]",
        good.replace('"x"', '"x", "metadata": {"a/b": "\\u0000"}'),
        good.replace('"x"', '"x", "idempotencyKey": "é"'),
        good.replace("x", "x" * (1 << 20)),
    ]
    said = faults("\n".join(lines), Form.NDJSON)
    assert [one.partition(":")[0] for one in said] == [
        "line 3, bodi",
        "line 4",
        "line 5",
        "line 6, metadata.a/b",
        "line 7, idempotencyKey",
        "line 8",
    ]
    assert said[0] == "line 3, bodi: unknown field; did you mean body?"


@pytest.mark.parametrize(
    ("name", "start", "form"),
    [
        ("list.csv", "{", Form.CSV),
        ("list.TSV", "", Form.CSV),
        ("list.jsonl", "", Form.NDJSON),
        ("list.ndjson", "", Form.NDJSON),
        ("-", '\ufeff\n {"contactId"', Form.NDJSON),
        ("-", "contactId,channel", Form.CSV),
        ("list.txt", "", Form.CSV),
    ],
)
def test_the_form_is_told_by_the_name_or_the_first_character(name: str, start: str, form: Form) -> None:
    file = BytesIO(start.encode())
    assert form_of(name, file) is form
    assert file.tell() == 0


def line(body: str) -> str:
    return f'{{"contactId": "{CONTACT}", "channel": "EMAIL", "body": "{body}"}}\n'


def test_a_key_is_of_the_run_and_of_what_the_line_says() -> None:
    a, b, c = line("a"), line("b"), line("c")
    first = keys(a + b + a, Form.NDJSON)
    assert len(set(first)) == 3
    assert keys(a + b + a, Form.NDJSON) == first
    assert keys(a + c + "\n" + b + a, Form.NDJSON)[::2] == [first[0], first[1]]
    assert keys(b + a + a, Form.NDJSON) == [first[1], first[0], first[2]]
    assert not set(keys(a + b + a, Form.NDJSON, run="another")) & set(first)
    spaced = a.replace(": ", ":  ")
    assert keys(spaced, Form.NDJSON) == first[:1]
    own = a.replace('"body"', '"idempotencyKey": "mine", "body"')
    assert keys(own, Form.NDJSON) == ["mine"]


def test_batches_are_bounded_in_number_and_in_bytes() -> None:
    many = "".join(line(str(number)) for number in range(1100))
    assert [len(batch) for batch in batches(BytesIO(many.encode()), Form.NDJSON, "run")] == [500, 500, 100]
    long = line("x" * 900_000) * 20
    assert [len(batch) for batch in batches(BytesIO(long.encode()), Form.NDJSON, "run")] == [9, 9, 2]
