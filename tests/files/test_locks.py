"""One writer per folder: other processes and threads are refused, and told by whom."""

import errno
import multiprocessing
import os
import subprocess
import sys
import threading

import pytest

from sparsecpu.errors import FileFormatError, FolderInUseError
from sparsecpu.files import locks
from sparsecpu.files.locks import FolderLock

HOLD = """
import os, sys
from sparsecpu.files import locks
if {by_name}:
    locks.fcntl = None
locks.FolderLock(sys.argv[1]).take()
print(os.getpid(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=[False, True], ids=["system", "by-name"])
def by_name(request, monkeypatch):
    """The system's locks, and what stands for them where there are none."""
    if request.param:
        monkeypatch.setattr(locks, "fcntl", None)
    elif locks.fcntl is None:
        pytest.skip("no locks here")
    return request.param


@pytest.fixture
def holder(tmp_path, by_name):
    command = [sys.executable, "-c", HOLD.format(by_name=by_name), str(tmp_path)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert int(child.stdout.readline()) == child.pid
    yield child
    child.kill()
    child.communicate()


def test_another_process_is_refused_until_the_holder_is_killed(holder, tmp_path):
    with pytest.raises(FolderInUseError) as caught:
        FolderLock(tmp_path).take()
    assert f"process {holder.pid} " in str(caught.value)
    assert " since 20" in str(caught.value)
    holder.kill()
    holder.wait()
    with FolderLock(tmp_path):
        assert os.listdir(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_killed_holders_left_is_taken_over_again_and_again(tmp_path, by_name):
    for _ in range(3):
        command = [sys.executable, "-c", HOLD.format(by_name=by_name), str(tmp_path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert int(child.stdout.readline()) == child.pid
            with pytest.raises(FolderInUseError, match=f"process {child.pid} "):
                FolderLock(tmp_path).take()
            child.kill()


def test_a_lock_that_is_released_leaves_nothing(tmp_path, by_name):
    for _ in range(2):
        with FolderLock(tmp_path):
            pass
        assert os.listdir(tmp_path) == []


def test_threads_are_refused_and_one_thread_may_take_it_twice(tmp_path, by_name):
    found = []

    def other():
        for lock in (FolderLock(tmp_path), held):
            try:
                lock.take()
            except FolderInUseError as error:
                found.append(str(error))

    with FolderLock(tmp_path) as held:
        held.take()
        with FolderLock(tmp_path / ".." / tmp_path.name):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert all(f"process {os.getpid()} " in message for message in found)
        assert len(found) == 2
    thread = threading.Thread(target=FolderLock(tmp_path).take)
    thread.start()
    thread.join()
    with FolderLock(tmp_path):  # its thread has ended without releasing it
        pass


def refused(folder, queue):
    try:
        FolderLock(folder).take()
    except FolderInUseError:
        queue.put(True)
    else:
        queue.put(False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_have_its_parent_s_lock(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with FolderLock(tmp_path):
        child = context.Process(target=refused, args=(tmp_path, queue))
        child.start()
        assert queue.get()
        child.join()
        with pytest.raises(FolderInUseError):  # and has not given it back either
            subprocess_takes(tmp_path)


def subprocess_takes(folder):
    script = (
        "import sys; from sparsecpu.files.locks import FolderLock; FolderLock(sys.argv[1]).take()"
    )
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True)
    if "FolderInUseError" in done.stderr:
        raise FolderInUseError(done.stderr)
    assert done.returncode == 0, done.stderr


def test_a_file_system_without_locks_still_has_one_writer(tmp_path, monkeypatch):
    if locks.fcntl is None:
        pytest.skip("no locks here")

    def lockf(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "lockf", lockf)
    with FolderLock(tmp_path):
        held = dict(locks._held)
        locks._held.clear()  # as another process has it
        try:
            with pytest.raises(FolderInUseError, match="remove"):
                FolderLock(tmp_path).take()
        finally:
            locks._held.update(held)
    assert os.listdir(tmp_path) == []


def test_a_damaged_lock_file_says_less_and_holds_as_well(holder, tmp_path, by_name):
    for file in tmp_path.iterdir():
        file.write_text('{"pid": [')
    with pytest.raises(FolderInUseError, match="another process"):
        FolderLock(tmp_path).take()


@pytest.mark.skipif(locks.fcntl is None, reason="no locks here")
@pytest.mark.parametrize("kind", ["link", "file", "folder", "pipe"])
def test_what_only_has_a_lock_s_name_is_left_alone(tmp_path, kind):
    folder, theirs = tmp_path / "run", tmp_path / "theirs"
    folder.mkdir()
    place = folder / locks.LOCK
    theirs.write_text("precious")
    if kind == "link":
        place.symlink_to(theirs)
    elif kind == "file":
        place.write_text("precious")
    else:
        {"folder": os.mkdir, "pipe": os.mkfifo}[kind](place)
    with pytest.raises(FileFormatError, match="is no lock of sparsecpu"):
        FolderLock(folder).take()
    assert os.path.lexists(place)
    assert theirs.read_text() == "precious"
    if kind == "file":
        assert place.read_text() == "precious"


@pytest.mark.skipif(locks.fcntl is None, reason="no locks here")
@pytest.mark.parametrize("left", ["", '{"p', '{"pid": 1, "host": "gone"}'])
def test_the_file_of_a_dead_holder_is_taken_over(tmp_path, left):
    (tmp_path / locks.LOCK).write_text(left)
    with FolderLock(tmp_path):
        assert f'"pid": {os.getpid()}' in (tmp_path / locks.LOCK).read_text()
    assert os.listdir(tmp_path) == []
