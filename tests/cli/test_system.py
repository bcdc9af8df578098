"""What the system refuses or asks for ends a command in one line, and leaves whole files."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from commands import TINY, run

from sparsecpu.cli.signals import Ended, handled, raised
from sparsecpu.cli.watchers import Interruption
from sparsecpu.files.locks import FolderLock, is_lock
from sparsecpu.files.writing import is_temporary

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")
TRAIN = ("train", "iris", *TINY, "--threads", 1)
COMPARE = ("compare", "iris", "--methods", "static", "--densities", "0.3", "--seeds", 1, "--folds",
           2, "--model", "8", "--epochs", 1, "--learning-rates", "0.05", "--quiet")  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "iris"
    assert run(*TRAIN, "--out", folder).exit_code == 0
    return folder


def one_line(result, *words):
    assert result.exit_code == 2, result.output
    message = result.stderr.strip()
    assert "\n" not in message
    assert all(str(word) in message for word in words), message


def left_in(folder):
    """Return what is in a folder beside files that a user knows."""
    return [n for _, _, names in os.walk(folder) for n in names if is_temporary(n) or is_lock(n)]


def writers(kept, out):
    model = kept / "model.npz"
    return {
        "train": (*TRAIN, "--out", out / "r"),
        "resume": ("train", "--resume", kept, "--quiet", "--no-dense-timing"),
        "compare": (*COMPARE, "--out", out / "c"),
        "import": ("import", model, "--out", out / "i.npz"),
        "safetensors": ("export", model, "--to", "safetensors", "--out", out / "e"),
        "torch": ("export", model, "--to", "torch", "--out", out / "t.pt"),
        "scipy": ("export", model, "--to", "scipy", "--out", out / "s"),
        "plot": ("inspect", model, "--plot", out / "p.png"),
    }


@pytest.mark.parametrize(
    "name", ["train", "resume", "compare", "import", "safetensors", "torch", "scipy", "plot"]
)
def test_a_disk_that_is_full_is_one_line(name, kept, tmp_path, monkeypatch):
    if name == "torch":
        pytest.importorskip("torch")
    before = {path: path.read_bytes() for path in kept.iterdir()}

    def fsync(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    one_line(run(*writers(kept, tmp_path)[name]), os.strerror(errno.ENOSPC))
    assert left_in(tmp_path) == left_in(kept) == []
    assert {path: path.read_bytes() for path in kept.iterdir()} == before
    if name not in ("train", "compare"):
        assert not os.listdir(tmp_path)


@pytest.mark.parametrize("write", [3, 5])
def test_a_run_on_a_full_disk_goes_on_once_there_is_space(write, kept, tmp_path, monkeypatch):
    flush, written = os.fsync, [0]

    def fsync(handle):
        if os.path.isfile(f"/proc/self/fd/{handle}") or not os.path.isdir("/proc/self/fd"):
            written[0] += 1
            if written[0] > write:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        flush(handle)

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fsync)
        one_line(run(*TRAIN, "--out", tmp_path / "r"), "--resume", tmp_path / "r")
    assert not (tmp_path / "r/model.npz").exists()
    done = run("train", "--resume", tmp_path / "r", "--quiet", "--no-dense-timing")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "r/model.npz").read_bytes() == (kept / "model.npz").read_bytes()
    assert sorted(os.listdir(tmp_path / "r")) == sorted(os.listdir(kept))


@posix
@pytest.mark.parametrize("command", [TRAIN, COMPARE], ids=["train", "compare"])
def test_a_folder_that_vanishes_is_one_line(command, tmp_path, monkeypatch):
    flush, flushed = os.fsync, []

    def fsync(handle):
        flushed.append(handle)
        if len(flushed) == 8:
            shutil.rmtree(tmp_path / "r")
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    one_line(run(*command, "--out", tmp_path / "r"), tmp_path / "r")
    assert os.listdir(tmp_path) == []


@posix
def test_a_current_folder_that_is_gone_is_named(kept, tmp_path):
    command = f"{sys.executable} -m sparsecpu predict {kept} digits"  # which NumPy reads
    script = f"mkdir here; cd here; rmdir ../here; {command}"
    paths = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("sparsecpu: the current folder: No such file or directory (")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("words", ["--help", "train --help", "inspect {} --json", "import --bogus"])
@pytest.mark.parametrize("where", [">/dev/full", ">&-", "| (exec <&-; sleep 0.2)"])
def test_an_output_that_takes_nothing_is_one_line(words, where, kept):
    if where != ">/dev/full" and words in ("train --help", "import --bogus"):
        pytest.skip("as the others")
    command = f"{sys.executable} -m sparsecpu {words.format(kept)}"
    script = f"set -o pipefail; (sleep 0.1; exec {command}) {where}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    if where.startswith("|") and "bogus" not in words:  # as other programs do: without a word
        assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
        return
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@posix
def test_messages_that_nobody_can_read_do_not_end_a_run(tmp_path):
    words = [sys.executable, "-m", "sparsecpu", *map(str, TRAIN), "--out", str(tmp_path / "r")]
    words.remove("--quiet")
    with open("/dev/full" if os.path.exists("/dev/full") else os.devnull, "w") as full:
        done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=full)
    assert done.returncode == 0


@posix
def test_nothing_is_printed_into_files_where_a_stream_is_closed(tmp_path):
    """The next file that is opened would get the number of the standard error."""
    command = f"{sys.executable} -m sparsecpu train iris --density 7 --out {tmp_path / 'r'}"
    script = f"exec 3</dev/null; {command} 2>&- ; echo $?"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_paths_that_cannot_be_are_one_line(kept, tmp_path):
    long = tmp_path / ("x" * 300)
    for words in writers(kept, long).values():
        if str(kept) not in map(str, words[:3]) or words[0] != "train":
            one_line(run(*words))
    for words in (("evaluate", long, "iris"), ("predict", kept, long), ("inspect", long),
                  ("train", long), ("train", "iris", "--init", long)):  # fmt: skip
        one_line(run(*words))


def test_no_memory_and_no_permission_are_one_line(kept, monkeypatch):
    import sparsecpu.files.model as model

    for error in (MemoryError(), PermissionError(errno.EACCES, "Permission denied", "m.npz")):

        def refused(path, error=error):
            raise error

        monkeypatch.setattr(model, "load_all", refused)
        one_line(run("inspect", kept), "memory" if isinstance(error, MemoryError) else "m.npz")


HOLD = """
import os, sys
from sparsecpu.files.locks import FolderLock
FolderLock(sys.argv[1]).take()
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def in_use():
    """Hold the lock of a folder in another process; return its number."""
    children = []

    def hold(folder):
        folder.mkdir(exist_ok=True)
        child = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        assert child.stdout.readline()
        children.append(child)
        return child.pid

    yield hold
    for child in children:
        child.kill()
        child.communicate()


def test_a_folder_has_one_writer_at_a_time(kept, tmp_path, in_use):
    words = writers(kept, tmp_path)
    for name, folder in (("train", "r"), ("compare", "c"), ("scipy", "s")):
        pid = in_use(tmp_path / folder)
        one_line(run(*words[name]), f"process {pid} ", "since")
        assert set(os.listdir(tmp_path / folder)) == {".lock"}
    pid = in_use(kept)
    one_line(run(*words["resume"]), f"process {pid} ")
    assert run("evaluate", kept, "iris").exit_code == 0  # reading is free


def test_of_two_runs_that_begin_at_once_one_runs(tmp_path):
    words = [sys.executable, "-m", "sparsecpu", *map(str, TRAIN), "--out", str(tmp_path / "r")]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    messages = [child.communicate()[1] for child in both]
    assert sorted(child.returncode for child in both) == [0, 2], messages
    history = (tmp_path / "r/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == [1, 2, 3]
    assert left_in(tmp_path) == []


def test_a_folder_with_something_else_in_it_is_not_written(tmp_path):
    (tmp_path / "model.npz").write_text("mine")
    for words in (TRAIN, COMPARE):
        one_line(run(*words, "--out", tmp_path), "--out", "model.npz")
    assert (tmp_path / "model.npz").read_text() == "mine"
    assert os.listdir(tmp_path) == ["model.npz"]


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.5)


@posix
def test_a_signal_is_an_exception_and_a_second_one_is_not_caught():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Ended) as caught, raised():
        send(signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with raised():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    seen = []
    with handled(lambda number, frame: seen.append(number), ctrl_c=True):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
    assert seen == [signal.SIGINT]


@posix
def test_a_second_signal_ends_training_at_once():
    stopper = Interruption()
    with stopper.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert stopper.number == signal.SIGTERM
        with pytest.raises(Ended):
            send(signal.SIGINT)


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_command_leaves_what_was_there(number, kept, tmp_path, monkeypatch):
    out = tmp_path / "i.npz"
    out.write_text("old")

    def fsync(handle):
        os.kill(os.getpid(), number)
        time.sleep(1)

    monkeypatch.setattr(os, "fsync", fsync)
    result = run("import", kept / "model.npz", "--out", out)
    assert result.exit_code == 128 + number
    assert result.stderr == "sparsecpu: interrupted\n"
    assert out.read_text() == "old"
    assert os.listdir(tmp_path) == ["i.npz"]


def test_an_exported_folder_holds_one_network(kept, tmp_path):
    from sparsecpu import save
    from sparsecpu.interop import open_tensors
    from sparsecpu.networks.description import mlp

    pytest.importorskip("scipy")
    out, small = tmp_path / "s", tmp_path / "small.npz"
    save(mlp(4, (), 3).build(), small, mlp(4, (), 3))
    assert run(*writers(kept, tmp_path)["scipy"]).exit_code == 0
    (out / "notes.npz").write_text("mine")
    assert run("export", small, "--to", "scipy", "--out", out).exit_code == 0
    assert (out / "notes.npz").exists()
    (out / "notes.npz").unlink()
    assert [n for n in open_tensors(out)[0] if n.endswith("weight")] == ["0.weight"]


def test_the_lock_of_a_finished_command_is_released(kept):
    with FolderLock(kept):
        pass
    assert left_in(kept) == []
