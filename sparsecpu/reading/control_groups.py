"""The control groups of Linux that this process is in: what limits containers and services."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class ControlGroup:
    """A group, by its name and by the folder in which the system shows its limits and its use."""

    name: str
    folder: Path
    version: int

    def number(self, file: str, place: int = 0) -> int | None:
        """Return a number in a file of the group, None where there is none, or no limit."""
        word = [*text_of(self.folder / file).split(), "", ""][place]
        return int(word) if re.fullmatch(r"-?\d+", word) else None

    def numbers(self, file: str) -> dict[str, int]:
        """Return what a file with a name and a number in each line says."""
        found: dict[str, int] = {}
        for line in text_of(self.folder / file).splitlines():
            name, _, value = line.partition(" ")
            if value.isdecimal():
                found[name] = int(value)
        return found


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[ControlGroup]:
    """Yield the groups that limit this process: its own ones, and all that these lie in.

    ``controller`` is ``"memory"`` or ``"cpu"``; ``root`` is where ``/proc`` and ``/sys`` are. Both
    versions are looked at, as a system may have both.
    """
    paths = _own_paths(root, controller)
    mounted = False
    for version, top, place in _mounts(root, controller):
        mounted = True
        if version in paths:
            yield from _upwards(version, top, place, paths[version], root)
    if not mounted:  # not told where: look in the usual places
        usual = PurePosixPath("/sys/fs/cgroup")
        yield from _upwards(2, PurePosixPath("/"), usual, PurePosixPath("/"), root)
        yield from _upwards(1, PurePosixPath("/"), usual / controller, PurePosixPath("/"), root)


def text_of(path: Path) -> str:
    """Return what a file of the system says, nothing where it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _own_paths(root: Path, controller: str) -> dict[int, PurePosixPath]:
    """Return the path of this process's group in the hierarchies of version 1 and 2."""
    found: dict[int, PurePosixPath] = {}
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            found[2] = PurePosixPath(path)
        elif controller in controllers.split(","):
            found[1] = PurePosixPath(path)
    return found


def _mounts(root: Path, controller: str) -> Iterator[tuple[int, PurePosixPath, PurePosixPath]]:
    """Yield the version of each hierarchy, which of its groups is at the top, and where that is."""
    for line in text_of(root / "proc/self/mountinfo").splitlines():
        place, _, system = line.partition(" - ")
        before, kind = place.split(), [*system.split(), "", "", ""]
        if len(before) < 5:
            continue
        top, point = (PurePosixPath(_plain(word)) for word in before[3:5])
        if kind[0] == "cgroup2":
            yield 2, top, point
        elif kind[0] == "cgroup" and controller in kind[2].split(","):
            yield 1, top, point


def _plain(word: str) -> str:
    r"""Return a path of ``mountinfo``, where a space is ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), word)


def _upwards(
    version: int, top: PurePosixPath, place: PurePosixPath, path: PurePosixPath, root: Path
) -> Iterator[ControlGroup]:
    """Yield a group and those around it, up to the one that is mounted at ``place``."""
    inside = PurePosixPath("/")
    # A container may be told a name from outside that it cannot see: then it sees its own group.
    if path.is_relative_to(top) and ".." not in path.parts:
        inside /= path.relative_to(top)
    for part in (inside, *inside.parents):
        folder = root / str(place / str(part).lstrip("/")).lstrip("/")
        if folder.is_dir():
            yield ControlGroup(str(top / str(part).lstrip("/")), folder, version)
