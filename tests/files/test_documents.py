import json

import pytest

from sparsecpu.errors import FileFormatError
from sparsecpu.files.documents import parse_json, read_json, read_json_lines
from sparsecpu.step.plain_values import (
    anything,
    listed,
    maybe,
    named,
    one_of,
    real,
    table,
    text,
    truth,
    whole,
)

DAMAGED = {
    "nothing": b"",
    "cut off": b'{"a": [1, 2',
    "not utf-8": b'{"a": "\xff"}',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "a name twice": b'{"a": 1, "a": 2}',
    "too deep for Python": b"[" * 100_000 + b"]" * 100_000,
    "too deep for us": b"[" * 200 + b"]" * 200,
    "too many digits": b'{"a": ' + b"9" * 5000 + b"}",
    "half a character": b'{"a": "\\ud800"}',
    "half a character in a name": b'{"\\uDFFF": 1}',
    "two documents": b"{}{}",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_text_that_is_no_json_is_refused_in_one_line(name):
    with pytest.raises(FileFormatError) as caught:
        parse_json(DAMAGED[name], "it", anything)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert str(caught.value).startswith("it")


def test_what_is_json_comes_back():
    value = {"a": [1, 2.5, None, True, "é\U0001f600"], "b": {"c": {}}, "n": -(10**30)}
    assert parse_json(json.dumps(value), "it", anything) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode(), "it", anything) == value
    deep = "[" * 90 + "]" * 90
    assert json.dumps(parse_json(deep, "it", anything)) == deep


KINDS = [
    (truth, [True, False], [0, 1, None, "true", []]),
    (text, ["", "x"], [1, None, "a\0b", ["x"]]),
    (whole(), [0, -5, 2**63 - 1], [1.0, True, "1", None, 2**63, 10**400]),
    (whole(1, 3), [1, 3], [0, 4]),
    (real(), [0, -1.5, 10**300], [float("nan"), float("inf"), "1", True, None, 10**400, {}]),
    (real(0.0, 1.0), [0, 1, 0.5], [-1e-9, 1.1, float("nan")]),
    (real(finite=False), [float("-inf"), 2], [float("nan"), 10**400, "x"]),
    (maybe(whole()), [None, 1], ["x", 1.5]),
    (one_of(("a", "b")), ["a"], ["c", None, ["a"], {}]),
    (listed(whole()), [[], [1, 2]], [None, {}, [1, "2"], "12"]),
    (listed(anything, 2), [[1, None]], [[1], [1, 2, 3], {"a": 1}]),
    (named(whole()), [{}, {"x": 1}], [[], None, {"x": "1"}]),
    (named(anything, ("a", "b")), [{"b": 1, "a": 2}], [{"a": 1}, {"a": 1, "b": 2, "c": 3}]),
    (table({"a": whole()}, {"b": text}), [{"a": 1}, {"a": 1, "b": ""}],
     [{}, {"a": "1"}, {"a": 1, "b": 2}, {"a": 1, "c": 1}, None, [["a", 1]]]),
    (table({"a": whole()}, {}, text), [{"a": 1, "c": "x"}], [{"a": 1, "c": 2}]),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_kinds_take_what_they_say_and_nothing_else(number):
    kind, good, bad = KINDS[number]
    for value in good:
        assert kind(value, "it") == value
    for value in bad:
        with pytest.raises(FileFormatError) as caught:
            kind(value, "it")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300


def test_names_of_files_do_not_spoil_messages():
    for name in ("x" * 5000, "a\nb", "\x1b[2J", "é"):
        with pytest.raises(FileFormatError) as caught:
            named(named(whole()))({name: {name: "no number"}}, "it")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


def test_lines_are_read_one_by_one_and_a_last_one_may_be_cut_off(tmp_path):
    path, kind = tmp_path / "l.jsonl", table({"a": whole()})
    assert read_json_lines(path, kind) == []
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a": ')
    assert read_json_lines(path, kind) == [{"a": 1}, {"a": 2}]
    path.write_bytes(b'{"a": 1}\n{"a": 2}')
    assert read_json_lines(path, kind) == [{"a": 1}, {"a": 2}]
    for damaged in (b'{"a": \n{"a": 2}\n', b'{"a": 1}\n\n', b'{"a": 1}\n{"a": "2"}\n', b"\xff\n"):
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match="line"):
            read_json_lines(path, kind)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(FileFormatError):
            read_json(path, anything)
    with pytest.raises(FileFormatError):
        read_json_lines(tmp_path, anything)
