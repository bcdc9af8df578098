"""Which format a file is in: what is in it tells, and its name where that leaves it open."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from sparsecpu.errors import DataError
from sparsecpu.reading.files import open_regular, refusing
from sparsecpu.reading.packed import is_packed, open_unpacked
from sparsecpu.registries.names import expected_name, find_name

#: What ``--format`` may say.
FORMATS = {
    "csv": "A table with commas, semicolons, tabs or spaces between its columns.",
    "npz": "Arrays x and y, or x_train, y_train, x_test and y_test, as numpy.savez writes them.",
    "svmlight": "A target and number:value pairs on each line, as libsvm has them.",
}
#: What ``--part`` may say.
PARTS = ("train", "test", "all")
#: Suffixes that leave nothing open, but for what a file begins with.
_SUFFIXES = {
    ".npz": "npz", ".svm": "svmlight", ".svmlight": "svmlight", ".libsvm": "svmlight",
    ".csv": "csv", ".tsv": "csv", ".tab": "csv",
}  # fmt: skip
#: Suffixes of tables that files in svmlight format have as well.
_LOOSE = (".txt", ".data")
#: Bytes and lines of a file that are looked at.
_HEAD, _LINES = 1 << 16, 20

_ARRAYS = "keep x and y in an .npz file (numpy.savez)"
_PICTURES = "name a folder that has a folder of pictures for each class"
_TABLE = "write it as a .csv (pandas can)"
#: How other files begin, what they are, and what to do with them.
_OTHERS = (
    (rb"\x93NUMPY", "a single NumPy array", _ARRAYS),
    (rb"\x80[\x02-\x05]", "a pickle, which is never opened, as it may run anything", _ARRAYS),
    (rb"\x89HDF", "an HDF5 file", _ARRAYS),
    (rb"MATLAB 5\.0 MAT-file", "a MATLAB file", f"{_ARRAYS} after scipy.io.loadmat"),
    (rb"(PAR1|ARROW1|ORC)[^\t\n\r -\x7f]", "a Parquet, Arrow or ORC file", _TABLE),
    (rb"\xd0\xcf\x11\xe0", "an Excel file", _TABLE),
    (rb"SQLite format 3\0", "a database of SQLite", _TABLE),
    (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|BM.{4}\0\0\0\0", "a picture", _PICTURES),
    (rb"\0\0[\x08-\x0e][\x01-\x04]", "an IDX file", "name the folder that it is in"),
    (rb"BZh[1-9]1AY", "packed by bzip2", "unpack it (bunzip2 -k)"),
    (rb"\xfd7zXZ\0", "packed by xz", "unpack it (unxz -k)"),
    (rb"\x28\xb5\x2f\xfd", "packed by zstd", "unpack it (unzstd)"),
    (rb"7z\xbc\xaf|Rar!|.{257}ustar", "an archive of files", "unpack it"),
    (rb"%PDF", "a PDF document", _TABLE),
    (rb"(?i)\s*<(!doctype|html|\?xml)", "a web page or XML", "download the data itself"),
    (rb"(?i)(\s*%.*\n)*\s*@relation", "an ARFF file", _TABLE),
    (rb'\s*[\[{]\s*["\[{]', "a JSON document", _TABLE),
)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
#: A line in svmlight format: a target, and numbers of features with their values.
_SVMLIGHT = re.compile(
    rf"{_NUMBER}(?:,{_NUMBER})*(?:\s+qid:\d+)?(?P<pairs>(?:\s+\d+:\S+)*)\s*(?:#.*)?"
)
_SEPARATORS = ",;\t| "


def format_of(path: Path | str) -> str:
    """Return the format of a file, one of ``FORMATS``; a file of tables is "csv".

    Raises ``DataError`` if the file is in none of them; the message says what it is, and what to
    do.
    """
    path = Path(path)
    with refusing(path, DataError, "a file of data"), open_regular(path) as raw:
        packed = is_packed(raw)
    with refusing(path, DataError, "a file of data"), open_unpacked(path) as file:
        head = file.read(_HEAD)
    if not head:
        raise DataError(f"{path} is empty; expected a file of data")
    if head.startswith(b"PK\3\4"):
        return _format_of_archive(path, packed)
    for beginning, kind, advice in _OTHERS:
        if re.match(beginning, head, re.DOTALL):
            raise DataError(f"{path} is {kind}; {advice}")
    suffix = _suffix(path)
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    lines = _lines(head)
    if _is_svmlight(lines):
        return "svmlight"
    if suffix in _LOOSE or _is_table(lines):
        return "csv"
    known = "a table (.csv), .npz or svmlight (.svm)"
    raise DataError(f"{path} is no file of data that is known; expected {known}; see --format")


def file_format(path: Path | str, given: str = "auto", **options: Any) -> str:
    """Return the format of a file, or the one that is ``given``.

    ``options`` are those of ``open_data`` that are for files of one format, which must be this one.
    """
    found = find_name(given, ("auto", *FORMATS))
    if found is None:
        raise DataError(f"format is {given!r}; expected {expected_name(given, ('auto', *FORMATS))}")
    given = found
    kind = format_of(path) if given == "auto" else given
    for name in options:
        known = "svmlight" if name == "zero_based" else "csv"
        if options.get(name) is not None and kind != known:
            only = {
                "csv": "tables have columns to choose from",
                "svmlight": "svmlight numbers them",
            }
            raise DataError(
                f"{name} is {options[name]!r}; {path} is a file of the format {kind}, and only "
                f"{only[known]}"
            )
    return kind


def _suffix(path: Path) -> str:
    """Return the suffix, without that of gzip."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _format_of_archive(path: Path, packed: bool) -> str:
    """Return "npz" if an archive holds arrays, and nothing that is better known."""
    if packed:
        raise DataError(f"{path} is an archive inside of gzip; unpack it (gunzip -k)")
    with refusing(path, DataError, "an .npz file"), open_regular(path) as raw:
        try:
            names = zipfile.ZipFile(raw).namelist()
        except zipfile.BadZipFile:
            return "npz"  # damaged; its reader says how
    if any(name.startswith("xl/") for name in names):
        raise DataError(f"{path} is an Excel file; {_TABLE}")
    if names and not any(name.endswith(".npy") for name in names):
        raise DataError(f"{path} is an archive of {names[0][:50]!r} and the like; unpack it")
    return "npz"


def _lines(head: bytes) -> list[str]:
    """Return the first lines of a text that are whole, without empty ones and remarks."""
    text = head.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.splitlines()
    if len(head) == _HEAD and len(lines) > 1:
        lines.pop()
    elif len(head) == _HEAD:
        lines = [lines[0].rsplit(maxsplit=1)[0]]
    lines = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return lines[:_LINES]


def _is_svmlight(lines: list[str]) -> bool:
    """Return True if all lines are samples in svmlight format, and one has a value at least."""
    found = [_SVMLIGHT.fullmatch(line) for line in lines]
    return all(found) and any(match["pairs"] for match in found if match)


def _is_table(lines: list[str]) -> bool:
    """Return True if lines have cells, as many in each."""
    counts = [{line.count(separator) for line in lines[:5]} for separator in _SEPARATORS]
    quoted = any('"' in line for line in lines[:5])
    return any(max(count, default=0) > 0 and (quoted or len(count) == 1) for count in counts)
