"""Asks scikit-learn for a data set of OpenML, and says in one line why there is none."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from sparsecpu.errors import DataError, DataWarning
from sparsecpu.reading.progress import voice

#: A name as OpenML has them, perhaps with a version, or a number.
_WHICH = re.compile(r"(?P<name>[\w.(),+-]+?)(?:@(?P<version>[1-9]\d{0,8}))?", re.ASCII)
#: Seconds after which a server that says nothing is given up.
_PATIENCE = 30.0
#: Seconds after which, and between which, it is said how far a download is.
_FIRST_WORD, _BETWEEN = 1.0, 5.0
#: So many bytes are folders and lists of what is to come, but no data yet.
_A_START = 100_000
#: Settings of the whole process are changed while something is fetched: by one thread at a time.
_alone = threading.Lock()


class UnreachableError(DataError):
    """OpenML cannot be reached, and what it would be asked for is not in the cache."""


def which(name: str) -> dict[str, Any]:
    """Return what ``iris``, ``iris@1`` or ``61`` names, as scikit-learn takes it."""
    found = _WHICH.fullmatch(name)
    if found is None or (found["version"] and name.split("@")[0].isdecimal()):
        expected = "a name, a name with a version such as iris@1, or a number such as 61"
        raise DataError(f"openml:{name} names no data set of OpenML; expected {expected}")
    if found["name"].isdecimal() and 0 < int(found["name"]) < 10**9:
        return {"data_id": int(found["name"])}
    version = {"version": int(found["version"])} if found["version"] else {}
    return {"name": found["name"], **version}


def home() -> Path:
    """Return the folder in which scikit-learn keeps what it has fetched."""
    from sklearn.datasets import get_data_home

    try:
        return Path(get_data_home())
    except OSError as error:
        place = f"{error.filename}: {error.strerror or error}"
        raise DataError(f"the folder for data sets cannot be used ({place})") from error


def fetch(name: str, what: str, **options: Any) -> Any:
    """Return what scikit-learn's ``fetch_openml`` does, from its cache or from openml.org.

    ``what`` is what messages call it. scikit-learn compares what it has fetched with the checksum
    that OpenML names. Raises ``UnreachableError`` without a network, and ``DataError`` if the data
    cannot be used.
    """
    from sklearn.datasets import fetch_openml

    chosen, folder = which(name), home() / "openml"
    with _alone, _patient(), _progress(what, folder), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = fetch_openml(**chosen, as_frame=False, n_retries=1, delay=0.5, **options)
        except MemoryError:
            raise
        except Exception as error:
            raise _refusal(error, what, folder, [str(word.message) for word in said]) from error
    for word in said:
        _pass_on(what, word)
    return found


def _pass_on(what: str, word: warnings.WarningMessage) -> None:
    """Say again what concerns the data; that something was fetched twice does not."""
    text = " ".join(str(word.message).split())
    if re.match("A network error|Invalid cache|Downloaded file could", text):
        return
    if text.startswith("Multiple active versions"):
        chosen = re.search(r"returning version (\d+)", text)
        version = chosen[1] if chosen else "1"
        text = f"there are several versions, and this is {version}; {what}@{version} names it"
    warnings.warn(f"{what}: {text}", DataWarning, stacklevel=4)


def _refusal(error: Exception, what: str, folder: Path, said: list[str]) -> DataError:
    """Return the line that says why there is no such data, and what to do."""
    damaged = next((text.split()[-1] for text in said if text.startswith("Invalid cache")), "")
    text = " ".join(str(error).split())
    if isinstance(error, HTTPError):
        error.close()
        return DataError(f"{what}: openml.org answered {error.code} ({error.reason}); try later")
    if (
        isinstance(error, OSError)
        and error.filename is not None
        and not isinstance(error, URLError)
    ):
        return DataError(f"{what}: {error.filename}: {error.strerror}")
    if isinstance(error, (OSError, http.client.HTTPException)):
        lost = f"was damaged at {damaged}, which is removed" if damaged else f"is not in {folder}"
        why = getattr(error, "reason", "") or text or type(error).__name__
        advice = f"fetch it where there is a network, and copy {folder} from there"
        return UnreachableError(
            f"{what} {lost}, and openml.org cannot be reached ({why}); {advice}"
        )
    if type(error).__name__ == "OpenMLError":
        return DataError(f"{what}: OpenML has no such data set; see https://www.openml.org/search")
    if "md5 checksum" in text:
        return DataError(f"{what}: what openml.org sent is not what its checksum says; try later")
    if "STRING attributes" in text:
        advice = "save the columns that you want as a .csv"
        return DataError(f"{what} has columns of free text, which no network reads; {advice}")
    return DataError(f"{what} cannot be read ({text[:300] or type(error).__name__})")


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """Let no server keep this process waiting for ever; scikit-learn sets no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE if before is None else before)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _progress(what: str, folder: Path) -> Iterator[None]:
    """Say now and then how much has been fetched, while the ``with`` block lasts."""
    began, there, done = time.monotonic(), _size(folder), threading.Event()

    def watch() -> None:
        wait, last, told = _FIRST_WORD, 0, False
        while not done.wait(wait):
            size, seconds = _size(folder) - there, time.monotonic() - began
            if size > max(last, _A_START):
                voice.say(f"{what}: {size / 1e6:.1f} MB fetched in {seconds:.0f} s …")
            elif not told:
                voice.say(f"{what}: asking openml.org, or reading what it sent …")
                told = True
            wait, last = _BETWEEN, size

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _size(folder: Path) -> int:
    """Return the bytes of all files in a folder, those on their way included."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total
