"""What is attacked: the interface of a target, and how one case is tried."""

import contextlib
import importlib
import pkgutil
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sparsecpu.errors import SparseCPUError

#: The files of a case by their names; a name may have folders in it.
Files = dict[str, bytes]
#: Characters of the longest message that still is one line for people.
LONGEST_MESSAGE = 1000


class Target:
    """A reader, valid input for it, and the damage that is done to that.

    ``seconds`` is how long one case may take; ``extra_bytes`` how much memory one may need above
    what the valid ones need.
    """

    name = ""
    seconds = 5.0
    extra_bytes = 512 << 20

    def available(self) -> bool:
        """Return True if the packages are there that the reader needs."""
        return True

    def valid(self) -> list[Files]:
        """Return a few valid examples, always the same, which ``read`` must take."""
        raise NotImplementedError

    def case(self, rng: Random) -> Files:
        """Return the files of a case, drawn by ``rng``."""
        raise NotImplementedError

    def read(self, folder: Path) -> None:
        """Read a case's files, and assert that what came of it keeps its promises."""
        raise NotImplementedError


@dataclass(frozen=True)
class Failure:
    """What went wrong with a case, and where; ``where`` tells equal failures."""

    kind: str
    where: str
    details: str


class Folder:
    """Holds the files of one case after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: list[str] = []

    def fill(self, files: Files) -> None:
        """Replace the last case's files; new ones are new files, not old ones cut short."""
        for name in self._names:
            (self.path / name).unlink(missing_ok=True)
            for parent in list((self.path / name).parents)[: name.count("/")]:
                with contextlib.suppress(OSError):  # one that is not empty stays
                    parent.rmdir()
        self._names = list(files)
        for name, content in files.items():
            path = self.path / name
            if "/" in name:
                path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)


def attempt(target: Target, folder: Folder, files: Files) -> Failure | None:
    """Try a case; return what went wrong, or None."""
    folder.fill(files)
    try:
        target.read(folder.path)
    except SparseCPUError as error:
        return _judged(error)
    except MemoryError as error:
        return failed("memory", error)
    except Exception as error:
        return failed("promise" if isinstance(error, AssertionError) else "exception", error)
    return None


def _judged(error: SparseCPUError) -> Failure | None:
    """Return what is wrong with a refusal: more than one line, or memory asked for in vain."""
    message = str(error)
    if not message.isprintable() or len(message) > LONGEST_MESSAGE:
        return failed("message", error)
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, MemoryError) and not isinstance(inner, SparseCPUError):
            return failed("memory", error)  # a size was believed before it was checked
        inner = inner.__cause__ or inner.__context__
    return None


def failed(kind: str, error: BaseException) -> Failure:
    """Return a failure of some kind that is an exception."""
    frames = [
        f"{Path(f.filename).name}:{f.name}" for f in traceback.extract_tb(error.__traceback__)
    ]
    ours = [frame for frame in frames if not frame.startswith(("target.py", "worker.py"))]
    where = " ".join([kind, type(error).__name__, *(ours[:2] + ours[-1:])])
    text = "".join(traceback.format_exception(error))
    return Failure(kind, where, text[:1000] + "\n…\n" + text[-3000:] if len(text) > 4000 else text)


def targets() -> dict[str, Target]:
    """Return every target whose packages are there, by name."""
    from tests.fuzz import targets as package

    found = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        target = importlib.import_module(module.name).TARGET
        if target.available():
            found[target.name] = target
    return found


def find_target(name: str) -> Target:
    """Return a target by its name, or by the name of a module that holds one."""
    if "." in name:
        return importlib.import_module(name).TARGET
    known = targets()
    if name not in known:
        raise SystemExit(f"no target {name!r}; there are {', '.join(known)}")
    return known[name]
