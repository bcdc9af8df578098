"""Where text comes from: a file, the texts in a folder, or Python's standard library."""

from __future__ import annotations

import codecs
import hashlib
import os
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sparsecpu.errors import DataError, DataWarning
from sparsecpu.reading.files import open_regular, refusing

#: The name of the running interpreter's standard library.
PYTHON = "python"
#: Files of a folder that are text: prose, programs, and what is written beside them.
_SUFFIXES = (
    ".txt", ".text", ".md", ".rst", ".org", ".tex", ".html", ".htm", ".xml", ".py", ".pyi", ".pyx",
    ".c", ".h", ".cc", ".cpp", ".hpp", ".cu", ".f90", ".go", ".java", ".jl", ".js", ".ts", ".kt",
    ".lua", ".pl", ".r", ".rb", ".rs", ".scala", ".sh", ".sql", ".swift", ".toml", ".yaml", ".yml",
    ".cfg", ".ini", ".json", ".csv",
)  # fmt: skip
#: Folders of the standard library that hold what was installed later, by name.
_INSTALLED = frozenset({"site-packages", "dist-packages"})
#: Made when this interpreter was built: it names folders of another machine.
_BUILT = "_sysconfigdata"
#: Bytes that are read at a time.
_AT_ONCE = 1 << 22
#: Names that a message lists.
_LISTED = 3


@dataclass(frozen=True)
class Source:
    """Files that make up a text, one behind the other.

    Parameters
    ----------
    name : str
        What people call the text.
    root : path
        The folder that the names of the files are in.
    files : tuple of str
        Their names, in order, with ``/`` between folders.
    size : int
        Bytes of the text.
    checksum : str
        SHA-256 of the text, in hexadecimal.
    """

    name: str
    root: Path
    files: tuple[str, ...] = field(repr=False)
    size: int
    checksum: str

    def parts(self) -> Iterator[str]:
        """Yield the text in parts that end where a line does, as far as there are lines."""
        for number, name in enumerate(self.files):
            yield from _lines(self.root / name, is_last=number == len(self.files) - 1)


def find_source(name: str) -> Source:
    """Return the source that ``python``, a file or a folder names; its files are read once.

    Raises ``DataError`` if there is no text, and warns of files of a folder that are none.
    """
    if name == PYTHON:
        root = Path(sysconfig.get_paths()["stdlib"])
        return _of_folder(name, root, _library(root), warn=False)
    path = Path(name)
    if not name or not path.exists():
        expected = f"text:FILE, text:FOLDER or text:{PYTHON}, the standard library"
        raise DataError(f"DATA is {f'text:{name}'!r}; expected {expected}")
    if path.is_dir():
        found = [file for file in _inside(path) if Path(file).suffix.lower() in _SUFFIXES]
        return _of_folder(name, path, found, warn=True)
    return _of_files(name, path.parent, (path.name,))


def _inside(root: Path, but: frozenset[str] = frozenset()) -> list[str]:
    """Return the files below a folder, sorted; hidden ones and folders of some names are left."""
    found = []
    for place, folders, files in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".") and f not in but]
        here = Path(place).relative_to(root)
        found += [(here / file).as_posix() for file in files if not file.startswith(".")]
    return sorted(found)


def _library(root: Path) -> list[str]:
    """Return the modules of a standard library that are the same wherever it was built."""
    files = _inside(root, _INSTALLED)
    return [f for f in files if f.endswith(".py") and not Path(f).name.startswith(_BUILT)]


def _of_folder(name: str, root: Path, files: list[str], *, warn: bool) -> Source:
    """Return the source of those of the files that are text."""
    texts, others = [], []
    for file in files:
        try:
            for _ in _chunks(root / file):
                pass
            texts.append(file)
        except DataError:
            others.append(file)
    if not texts:
        known = ".txt, .md, .py and the like, in UTF-8"
        raise DataError(f"{root} holds no text; expected files ending in {known}")
    if others and warn:
        more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
        words = f"{name}: {', '.join(others[:_LISTED])}{more} left out: not text in UTF-8, or empty"
        warnings.warn(words, DataWarning, stacklevel=2)
    return _of_files(name, root, tuple(texts))


def _of_files(name: str, root: Path, files: tuple[str, ...]) -> Source:
    digest, size = hashlib.sha256(), 0
    for number, file in enumerate(files):
        for chunk in _chunks(root / file, is_last=number == len(files) - 1):
            digest.update(chunk)
            size += len(chunk)
    return Source(name, root, files, size, digest.hexdigest())


def _chunks(path: Path, *, is_last: bool = True) -> Iterator[bytes]:
    """Yield the bytes of a file, which is text in UTF-8; refuse one that is none, or empty.

    A file that another one follows ends with the end of a line.
    """
    decoder, end, done = codecs.getincrementaldecoder("utf-8")(), b"", 0
    with refusing(path, DataError, "a text"), open_regular(path) as file:
        chunk = file.read(_AT_ONCE).removeprefix(codecs.BOM_UTF8)
        while chunk:
            if b"\0" in chunk:
                raise DataError(f"{path} is binary; expected a text in UTF-8")
            _check(path, decoder, chunk, done)
            done, end = done + len(chunk), chunk[-1:]
            yield chunk
            chunk = file.read(_AT_ONCE)
        _check(path, decoder, b"", done, final=True)
    if not done:
        raise DataError(f"{path} is empty; expected a text")
    if end != b"\n" and not is_last:
        yield b"\n"


def _check(
    path: Path, decoder: codecs.IncrementalDecoder, chunk: bytes, done: int, *, final: bool = False
) -> None:
    held = len(decoder.getstate()[0])  # the beginning of a character, of the chunk before
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        where = done - held + error.start
        raise DataError(
            f"{path} is no text in UTF-8 (byte {where:,} cannot be read); write it anew in UTF-8 "
            f"(iconv -t utf-8)"
        ) from None


def _lines(path: Path, *, is_last: bool) -> Iterator[str]:
    """Yield the text of a file in parts that end where a line does, as far as there are lines."""
    decoder, held = codecs.getincrementaldecoder("utf-8")(), ""
    for chunk in _chunks(path, is_last=is_last):
        held += decoder.decode(chunk)
        cut = held.rfind("\n") + 1
        if not cut and len(held) >= _AT_ONCE // 4:  # a line that never ends
            cut = len(held)
        if cut:
            yield held[:cut]
            held = held[cut:]
    if held:
        yield held
