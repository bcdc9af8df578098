"""Files are replaced whole, go where they were meant to, and leave nothing beside them."""

import contextlib
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparsecpu.errors import FileFormatError
from sparsecpu.files import writing
from sparsecpu.files.processes import this_process
from sparsecpu.files.writing import atomic_write, clean, is_temporary, make_folder, write_text

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


@pytest.fixture
def once():
    """A folder is searched for leftovers once per process; tests want it each time."""
    writing._seen.clear()


@posix
def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far/model").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "far/model")
    (tmp_path / "new").symlink_to("far/not-there-yet")
    for name in ("link", "new"):
        write_text(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).resolve().read_text() == "new"
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with pytest.raises(OSError, match="round"):
        write_text(tmp_path / "round", "")
    assert sorted(os.listdir(tmp_path / "far")) == ["model", "not-there-yet"]


@posix
def test_permissions_are_the_umask_s_or_those_before(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "f", "1")
        assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640
        (tmp_path / "f").chmod(0o604)
        write_text(tmp_path / "f", "2")
        assert (tmp_path / "f").stat().st_mode & 0o777 == 0o604
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, "x" * 200 + "€" * 18, "\udcff" * 100])
def test_names_may_be_as_long_as_the_system_allows(name, tmp_path):
    try:
        (tmp_path / name).write_text("old")
    except (OSError, UnicodeError):
        pytest.skip("not a name here")
    write_text(tmp_path / name, "new")
    assert (tmp_path / name).read_text() == "new"
    assert os.listdir(tmp_path) == [name]


def test_names_that_are_too_long_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(OSError) as caught, atomic_write(tmp_path / ("x" * 256)):
        pytest.fail("it was opened")
    assert caught.value.errno == errno.ENAMETOOLONG


@posix
def test_folders_devices_and_pipes_are_no_files_to_replace(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder", "/dev/null", ""):
        with pytest.raises(FileFormatError):
            write_text(path, "")
    assert Path("/dev/null").is_char_device()


def dead_process():
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    return int(child.stdout)


def named(host, pid, began):
    return f".model.npz.{host}-{pid}-{began}-0.tmp"


@posix
def test_what_dead_processes_left_goes_at_the_next_write(tmp_path, once):
    host, pid, began = this_process()
    left = [named(host, dead_process(), 5), named(host, pid, began + 1 if began else 1)]
    theirs = [named(host, pid, began), named("00000000", 5, 5), ".model.npz.a_b3x9_q", "x.tmp"]
    if not began:  # without /proc a number that is used again looks alive
        left.pop()
    for name in (*left, *theirs):
        (tmp_path / name).write_text("")
    write_text(tmp_path / "other", "")
    assert sorted(os.listdir(tmp_path)) == sorted([*theirs, "other"])
    day = time.time() - 2 * 24 * 3600
    os.utime(tmp_path / theirs[1], (day, day))
    clean(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([theirs[0], *theirs[2:], "other"])


@posix
def test_a_killed_writer_leaves_the_old_file_and_one_that_is_recognised(tmp_path, once):
    path = tmp_path / "f"
    path.write_text("old")
    script = (
        "import os, sys; from sparsecpu.files.writing import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, path], check=False)
    (left,) = set(os.listdir(tmp_path)) - {"f"}
    assert is_temporary(left)
    assert path.read_text() == "old"
    write_text(path, "new")
    assert os.listdir(tmp_path) == ["f"]


def test_errors_name_the_file_that_was_to_be_written(tmp_path):
    def full(number):
        with atomic_write(tmp_path / "f"):
            raise OSError(number, os.strerror(number))

    with pytest.raises(OSError) as caught:
        full(errno.ENOSPC)
    assert caught.value.filename == str(tmp_path / "f")
    with pytest.raises(FileFormatError, match="nowhere"):
        write_text(tmp_path / "nowhere/f", "")
    assert os.listdir(tmp_path) == []


@posix
def test_the_file_and_then_the_folder_are_flushed(tmp_path, monkeypatch):
    order = []
    flush, move = os.fsync, os.replace

    def fsync(handle):
        order.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        flush(handle)

    def replace(*names):
        order.append("move")
        move(*names)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_text(tmp_path / "f", "")
    if os.path.isdir("/proc/self/fd"):
        assert order == ["file", "move", "folder"]
        del order[:]
        make_folder(tmp_path / "a/b")
        assert order == ["folder", "folder"]


def test_folders_that_cannot_be_flushed_are_no_error(tmp_path, monkeypatch):
    def fsync(handle):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    writing.flush_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.EIO, "")))
    if os.name == "posix":
        with pytest.raises(OSError):
            writing.flush_folder(tmp_path)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("place", [0, 300, 1500])
def test_pytorch_hands_on_what_ends_its_writing(error, place, tmp_path, monkeypatch):
    """It makes errors of its own of them, about positions in the file."""
    torch = pytest.importorskip("torch")
    from sparsecpu.files.interop import torch_files

    class Full:
        written = 0

        def write(self, data):
            self.written += len(data)
            if self.written > place:
                raise error
            return len(data)

        def flush(self):
            pass

    monkeypatch.setattr(torch_files, "atomic_write", lambda path: contextlib.nullcontext(Full()))
    with pytest.raises(type(error)):
        torch_files.write_torch(torch.nn.Linear(30, 20), tmp_path / "m.pt")
