"""Compiled kernels on disk: found again after reinstalling, whole whatever happens to the files.

They lie in the user's cache folder, or where ``NUMBA_CACHE_DIR`` says, in a folder for each state
of what they are made of: the contents of the kernels' sources, versions, and what was chosen for
the CPU. So neither a new virtual environment nor an added extra compiles anything anew. Folders of
other states are removed once nobody has used them for a while.

Numba raises on a truncated index, and gives two processes that compile at once the same file name.
What is replaced here is private to Numba; where a version lacks it, its own cache remains.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.misc.appdirs import AppDirs

_SOURCES = Path(__file__).parent.parent
#: What may be in the environment that kernels differ by.
_CHOICES = ("SPARSECPU_KERNELS", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT",
            "NUMBA_LOOP_VECTORIZE", "NUMBA_SLP_VECTORIZE")  # fmt: skip
_DAY = 24 * 3600
#: Folders of states that nobody has used for so long are removed.
_UNUSED = 30 * _DAY


@cache
def sources_stamp() -> str:
    """Return a mark of all that kernels are made of."""
    found = hashlib.sha256()
    for file in sorted(_SOURCES.rglob("*.py")):
        found.update(str(file.relative_to(_SOURCES)).encode() + b"\0" + file.read_bytes())
    versions = (numba.__version__, llvmlite.__version__, np.__version__)
    python = (platform.python_implementation(), platform.python_version(), platform.machine())
    choices = [os.environ.get(name) for name in _CHOICES]
    found.update(repr((versions, python, choices)).encode())
    return found.hexdigest()[:16]


def _made_of(value: Any) -> Any:
    """Return what tells a function, or what it was made with, from others, in any process.

    Numba would look at the bytes of a pickle. In these a part that a kernel was made with has
    another number in each process, and the kernel would never be found again.
    """
    function = getattr(value, "py_func", value)
    code = getattr(function, "__code__", None)
    if code is None:
        return tuple(map(_made_of, value)) if isinstance(value, tuple) else value
    place = function.__module__, function.__qualname__, code.co_firstlineno
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return *place, hashlib.sha256(code.co_code).hexdigest(), *map(_made_of, cells)


@cache
def cache_folder() -> Path | None:
    """Return the folder of compiled kernels, which is there now; None if no place can be written.

    Where the usual one cannot, one among the temporary files serves, with a warning.
    """
    config: Any = numba.config
    usual = Path(config.CACHE_DIR or AppDirs("sparsecpu", appauthor=False).user_cache_dir)
    for place in (usual / "kernels", _temporary()):
        folder = place / sources_stamp()
        if not _opened(folder):
            continue
        if place != usual / "kernels":
            told = f"{usual} cannot be written: compiled kernels are kept in {place}"
            warnings.warn(told, stacklevel=2)
        return folder
    return None


def _temporary() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"sparsecpu-kernels-{user}"


def _opened(folder: Path) -> bool:
    """Make a folder that only its user may write, and note that it is used; False if we cannot."""
    try:
        new = not folder.exists()
        if new:
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if folder.parent == _temporary() and not _is_ours(folder.parent):
            return False
        with tempfile.TemporaryFile(dir=folder):
            pass
        if time.time() - folder.stat().st_mtime > _DAY:
            os.utime(folder)
    except OSError:
        return False
    if new:
        _remove_unused(folder)
    return True


def _is_ours(folder: Path) -> bool:
    """Return True if nobody else may put anything into a folder: what lies in there will be run."""
    found = folder.lstat()
    user = os.getuid() if hasattr(os, "getuid") else found.st_uid
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022


def _remove_unused(folder: Path) -> None:
    """Remove what is kept of other states beside a folder, where nobody has used it for long."""
    with contextlib.suppress(OSError):
        for other in folder.parent.iterdir():
            if other != folder and time.time() - other.stat().st_mtime > _UNUSED:
                shutil.rmtree(other, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing the cache in a folder inside the block, where possible."""
    try:
        import fcntl
    except ImportError:  # Windows: Numba's own retries must do
        yield
        return
    try:
        file = open(folder / ".sparsecpu.lock", "w")  # noqa: SIM115
    except OSError:
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Locator(_CacheLocator):
    """Says where the forms of a kernel lie."""

    def __init__(self, function: Any, folder: Path) -> None:
        room = function.__module__.rpartition(".")[0].rpartition(".")[2]
        self._folder, self._line = folder / room, function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return sources_stamp()

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, function: Any, file: str) -> _Locator | None:
        folder = cache_folder()
        return None if folder is None else cls(function, folder)


class _Kept(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012


class KernelCache(FunctionCache):
    """The forms of a kernel on disk; where they cannot be used, it is compiled anew.

    They are told apart by the code of another function, ``told_by``, where one is given.
    """

    _impl_class = _Kept

    def __init__(self, function: Any, told_by: Any = None) -> None:
        super().__init__(function)
        self._py_func = told_by or function
        self._folder = Path(self.cache_path)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return sig, codegen.magic_tuple(), repr(_made_of(self._py_func))

    def has(self, signature: Any, context: Any) -> bool:
        """Return True if a form is there, whole or not."""
        try:
            return self._index_key(signature, context.codegen()) in self._cache_file._load_index()
        except Exception:  # whatever is wrong with it, loading mends it
            return False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return a form, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # truncated, or written by something else: whatever is wrong with it
            with contextlib.suppress(OSError), locked(self._folder):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a form, where that is possible."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(exist_ok=True)
        with locked(self._folder):
            try:
                super().save_overload(sig, data)
            except OSError:  # the disk is full, or no longer ours
                return
            except Exception:  # the index is damaged: begin it anew
                with contextlib.suppress(OSError):
                    self.flush()
                    super().save_overload(sig, data)
