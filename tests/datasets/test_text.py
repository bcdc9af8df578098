"""Text as data: tokenizers, which files are read, windows without copies, and refusals."""

import hashlib
import json
import sys

import numpy as np
import pytest

from sparsecpu.datasets import open_data
from sparsecpu.datasets.text import (
    TOKENIZERS,
    BytePairs,
    Bytes,
    Characters,
    find_source,
    token_type,
    tokenizer_from_dict,
    tokens,
)
from sparsecpu.errors import DataError, FileFormatError, ParameterError, SparseCPUError

TEXT = "Ein Ärger kommt selten allein: 7 € für 日本 😀!\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "verse.txt"
    path.write_text(TEXT * 40, encoding="utf-8")
    return path


def letters_of_bytes():
    """The letters by which GPT-2 writes bytes, found as its authors describe them."""
    plain = [b for b in range(256) if chr(b).isprintable() and not chr(b).isspace() and b != 173]
    letters, others = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in letters:
            letters[b], others = chr(256 + others), others + 1
    return letters


def byte_pairs(*pairs):
    """A document of byte pairs in which these pairs of text are tokens of their own."""
    letters = letters_of_bytes()
    vocabulary = {letters[b]: b for b in range(256)}
    merges = []
    for one, two in pairs:
        parts = ["".join(letters[b] for b in text.encode()) for text in (one, two)]
        merges.append(parts)
        vocabulary["".join(parts)] = len(vocabulary)
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
             "ignore_merges": False, "vocab": vocabulary, "merges": merges}  # fmt: skip
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": None, "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": model,
    })  # fmt: skip


def test_characters_are_numbered_as_unicode_does():
    made = Characters.learn([TEXT[:20], TEXT[20:]])
    assert made.characters == "".join(sorted(set(TEXT)))
    assert made.encode(TEXT).tolist() == [made.characters.index(c) for c in TEXT]
    assert made.encode(TEXT).dtype == np.uint8


@pytest.mark.parametrize("kind", [Characters, Bytes])
def test_text_comes_back(kind):
    made = tokenizer_from_dict(json.loads(json.dumps(kind.learn([TEXT]).to_dict())))
    ids = made.encode(TEXT)
    assert made.decode(ids) == TEXT
    assert made.byte_counts()[ids].sum() == len(TEXT.encode())
    assert made.vocabulary == len(made.byte_counts())


def test_characters_come_when_they_are_whole():
    parts = list(Bytes().stream(Bytes().encode("a€b")))
    assert parts == ["a", "", "", "€", "b", ""]
    assert "".join(Bytes().stream([0xE2, 65])) == "\ufffdA"


def test_unknown_characters_are_named():
    made = Characters("abc")
    for text, named in (
        ("abx", "U+0078"),
        ("é", "'é'"),
        ("a\ud800", "U+D800"),
        ("\U0001f600", "😀"),
    ):
        with pytest.raises(DataError, match="tokens=bytes") as caught:
            made.encode(text)
        assert named in str(caught.value)
        assert "\n" not in str(caught.value)


def test_tokens_that_are_none():
    for made, wrong in ((Characters("abc"), 3), (Bytes(), 256), (Bytes(), -1)):
        with pytest.raises(DataError):
            made.decode([0, wrong])


@pytest.mark.parametrize("vocabulary", [2, 256, 257, 65_536, 65_537])
def test_tokens_take_the_smallest_type(vocabulary):
    found = token_type(vocabulary)
    assert np.iinfo(found).max >= vocabulary - 1
    smaller = {1: None, 2: np.uint8, 4: np.uint16}[found.itemsize]
    assert smaller is None or np.iinfo(smaller).max < vocabulary - 1


@pytest.mark.parametrize(
    "values",
    [None, [], {}, {"name": "words"}, {"name": ["bytes"]}, {"name": "characters"},
     {"name": "characters", "characters": ""}, {"name": "characters", "characters": "ba"},
     {"name": "characters", "characters": "aa"}, {"name": "bpe"}, {"name": "bpe", "document": "{"},
     {"name": "bpe", "document": "[1]"}, {"name": "bpe", "document": '{"model": {"vocab": {}}}'},
     {"name": "bpe", "document": '{"model": {"vocab": {"a": 1}}, "added_tokens": []}'},
     {"name": "bpe", "document": '{"model": {"vocab": {"a": "b", "c": 0}}, "added_tokens": []}'}],
)  # fmt: skip
def test_damaged_tokenizers(values):
    with pytest.raises(FileFormatError):
        tokenizer_from_dict(values)


def test_byte_pairs_are_read_without_the_package():
    made = BytePairs(byte_pairs(("h", "e"), ("he", "y"), (" ", "\n")))
    assert made.vocabulary == 259
    assert made.decode([256, 257, 65, 258]) == "hehey" + "A \n"
    assert made.byte_counts()[[0, 256, 257, 258]].tolist() == [1, 2, 3, 2]


def test_byte_pairs_with_the_package(file):
    pytest.importorskip("tokenizers")
    made = BytePairs(byte_pairs(("h", "e"), ("he", "y")))
    assert made.encode("hey he").tolist() == [257, ord(" "), 256]
    first, again = (open_data(f"text:{file}:tokens=bpe,vocabulary=280") for _ in range(2))
    assert first.n_outputs == 280
    assert first.tokenizer.to_dict() == again.tokenizer.to_dict()
    assert first.tokenizer.decode(first.tokens) == TEXT * 40


def test_byte_pairs_need_the_package(monkeypatch, file):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError, match=r"sparsecpu\[text\]"):
        open_data(f"text:{file}:tokens=bpe")


def test_windows_are_views_one_token_apart(file):
    data = open_data(f"text:{file}").windows(16)
    ids = Characters.learn([TEXT]).encode(TEXT * 40)
    cut = len(ids) - len(ids) // 10
    for x, y, part in (
        (data.x_train, data.y_train, ids[:cut]),
        (data.x_test, data.y_test, ids[cut:]),
    ):
        assert x.shape == y.shape == ((len(part) - 1) // 16, 16)
        assert np.array_equal(x.ravel(), part[: x.size])
        assert np.array_equal(y.ravel(), part[1 : x.size + 1])
        assert np.shares_memory(x, data.tokens)
        assert np.shares_memory(y, data.tokens)
    assert data.input_shape == (16,)
    assert data.task == "language"
    assert data.n_outputs == len(set(TEXT))


def test_windows_may_overlap_in_training(file):
    data = open_data(f"text:{file}:step=5").windows(16)
    assert np.array_equal(data.x_train[1], data.tokens[5:21])
    assert np.array_equal(data.y_train[1], data.tokens[6:22])
    assert np.array_equal(data.x_test[1], data.tokens[-(len(data.tokens) // 10) :][16:32])


def test_a_folder_is_read_in_order(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / ".git").mkdir()
    for name, content in (("b.py", b"bb"), ("a.md", b"\xef\xbb\xbfaa\n"), ("deep/c.txt", b"cc\n"),
                          (".git/x.txt", b"hidden"), ("d.bin", b"no"), ("e.txt", b"\xff\xfe"),
                          ("f.txt", b""), ("g.txt", b"a\0b")):  # fmt: skip
        (tmp_path / name).write_bytes(content)
    with pytest.warns(UserWarning, match=r"e\.txt, f\.txt, g\.txt left out"):
        source = find_source(str(tmp_path))
    assert source.files == ("a.md", "b.py", "deep/c.txt")
    assert "".join(source.parts()) == "aa\nbb\ncc\n"
    assert source.size == 9
    assert source.checksum == hashlib.sha256(b"aa\nbb\ncc\n").hexdigest()


def test_parts_end_with_lines_and_lose_nothing(tmp_path, monkeypatch):
    from sparsecpu.datasets.text import sources

    monkeypatch.setattr(sources, "_AT_ONCE", 7)  # cuts characters, too
    path = tmp_path / "long.txt"
    for text in (TEXT * 3, "ä" * 50, "x\n" + "y" * 40 + "\n\n"):
        path.write_text(text, encoding="utf-8", newline="")
        parts = list(find_source(str(path)).parts())
        assert "".join(parts) == text
        assert len(parts) > 1


def test_the_standard_library(monkeypatch, tmp_path):
    from sparsecpu.datasets.text import sources

    for name in ("os.py", "_sysconfigdata_x.py", "site-packages/other.py", "json/__init__.py",
                 "notes.txt"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("import sys\n" * 300)
    monkeypatch.setattr(sources.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    data = open_data("text:python")
    assert data.text.facts()["files"] == ["json/__init__.py", "os.py"]
    assert data.text.facts()["bytes"] == 6600
    assert "2 files" in data.text.in_words()


def test_large_texts_are_mapped_from_a_file(file, tmp_path, monkeypatch):
    held = open_data(f"text:{file}:tokens=bytes")
    monkeypatch.setattr(tokens, "_MAPPED", 100)
    monkeypatch.setattr(tokens, "home", lambda: tmp_path / "data")
    mapped = open_data(f"text:{file}:tokens=bytes")
    assert np.array_equal(mapped.tokens, held.tokens)
    (kept,) = (tmp_path / "data").rglob("*.*")
    assert isinstance(mapped.tokens.base, np.memmap)
    kept.write_bytes(b"")  # damaged: it is written anew
    assert np.array_equal(open_data(f"text:{file}:tokens=bytes").tokens, held.tokens)
    before = kept.stat().st_mtime_ns
    assert np.array_equal(open_data(f"text:{file}:tokens=bytes").tokens, held.tokens)
    assert kept.stat().st_mtime_ns == before


def test_mapped_tokens_beyond_the_vocabulary_are_written_anew(file, tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "_MAPPED", 100)
    monkeypatch.setattr(tokens, "home", lambda: tmp_path / "data")
    good = open_data(f"text:{file}").tokens.copy()
    (kept,) = (tmp_path / "data").rglob("*.*")
    kept.write_bytes(b"\xff" * len(good))
    assert np.array_equal(open_data(f"text:{file}").tokens, good)


def test_a_disk_that_is_full(file, tmp_path, monkeypatch):
    def full(*given, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokens, "_MAPPED", 100)
    monkeypatch.setattr(tokens, "home", lambda: tmp_path / "data")
    monkeypatch.setattr(tokens.os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        open_data(f"text:{file}")
    assert not [p for p in (tmp_path / "data").rglob("*") if p.is_file()]


def test_a_tokenizer_of_a_model_is_used(file):
    known = Characters.learn([TEXT + "xyz"])
    from sparsecpu.datasets import open_text

    data = open_text(f"text:{file}", tokenizer=known)
    assert data.n_outputs == known.vocabulary > len(set(TEXT))
    with pytest.raises(DataError, match="tokens=characters"):
        open_text(f"text:{file}:tokens=bytes", tokenizer=known)
    with pytest.raises(DataError, match="tokens=bytes"):
        open_text(f"text:{file}", tokenizer=Characters("abc"))


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"", "text:{}"), (b"\xef\xbb\xbf", "text:{}"), (b"ab\0cd", "text:{}"),
     (b"abc\xff", "text:{}"), (b"abc\xe2\x82", "text:{}"), (b"too short", "text:{}"),
     (b"a" * 500, "text:{}"),
     (b"ab" * 50, "text:{}:tokens=words"), (b"ab" * 50, "text:{}:tokens=bytes,vocabulary=300"),
     (b"ab" * 50, "text:{}:tokens=bpe,vocabulary=9"), (b"ab" * 50, "text:{}:step=0"),
     (b"ab" * 50, "text:{}:colour=red"), (b"ab" * 50, "text:{}:tokens=bytes,step"),
     (b"ab" * 50, "text:{}.gone"), (b"ab" * 50, "text:")],
)  # fmt: skip
def test_bad_text_is_refused_in_one_line(tmp_path, content, name):
    path = tmp_path / "it.txt"
    path.write_bytes(content)
    with pytest.raises(SparseCPUError) as caught:
        open_data(name.format(path))
    assert "\n" not in str(caught.value)


def test_options_for_other_data_are_refused(file):
    for option in ({"samples": 5}, {"target": "x"}, {"scaling": "feature"}, {"header": True},
                   {"task": "regression"}, {"format": "csv"}):  # fmt: skip
        with pytest.raises(DataError):
            open_data(f"text:{file}", **option)


def test_windows_longer_than_the_text(file):
    data = open_data(f"text:{file}")
    with pytest.raises(DataError, match="smaller block"):
        data.windows(len(data.tokens) // 10)
    assert len(data.windows(len(data.tokens) // 10 - 1).x_test) == 1
    with pytest.raises(ParameterError):
        data.windows(0)


def test_every_tokenizer_is_here():
    assert set(TOKENIZERS) == {"characters", "bytes", "bpe"}
