"""A few seeded cases of the campaign, and every single write of the one function that writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kills.campaign import Campaign, differences
from tests.kills.variants import outcome

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="files are known by /proc"
)
#: Replaces a file, once as ours do and once as a program that does not care.
WRITE = """
import sys
from sparsecpu.files.writing import atomic_write
if sys.argv[2] == "ours":
    with atomic_write(sys.argv[1]) as file:
        file.write(b"n" * 5000); file.flush(); file.write(b"n" * 5000)
else:
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write("n" * 10000)
"""
STOPPER = str(Path(__file__).parent / "stopper")


def test_runs_that_are_ended_go_on_to_the_same_bytes(tmp_path):
    campaign = Campaign(
        ("sparse-momentum", "best-model", "import", "compare"), folder=tmp_path, seed=4,
        ways=("kill-at", "term-at", "int-at", "full-at"),
    )  # fmt: skip
    campaign.run(8, workers=2)
    assert sum(campaign.ends.values()) == 8
    assert not campaign.faulty, "\n".join(map(str, campaign.faulty))


def written(folder, how, at):
    """Replace a file that holds b"old" and stop that at a moment; return what is there then."""
    path = folder / "f"
    path.write_bytes(b"old")
    paths = os.pathsep.join([STOPPER, str(Path(__file__).parents[2])])
    stop = {"PYTHONPATH": paths, "STOP_UNDER": str(folder.resolve()), "STOP_AT": at}
    subprocess.run([sys.executable, "-c", WRITE, path, how], env={**os.environ, **stop},
                   capture_output=True)  # fmt: skip
    return path.read_bytes()


@pytest.mark.parametrize("how", ["kill", "term", "int", "full"])
def test_a_file_is_old_or_new_wherever_its_writing_ends(how, tmp_path):
    whole = {b"old", b"n" * 10000}
    written(tmp_path, "ours", f"count:{tmp_path}.count")
    count = int(Path(f"{tmp_path}.count").read_text())
    assert count >= 5  # two writes, a flush of the file, a move, a flush of the folder
    # One more than there are: what the one before has left is removed first.
    found = [written(tmp_path, "ours", f"{how}:{at}") for at in range(1, count + 2)]
    assert set(found) == whole
    written(tmp_path, "ours", "kill:999")
    assert os.listdir(tmp_path) == ["f"]


def test_the_harness_notices_a_file_that_is_half_written(tmp_path):
    assert written(tmp_path, "theirs", "kill:1") == b"n" * 5000
    whole = {"f": b"n" * 10000, "g": b""}
    assert differences(whole, outcome(tmp_path)) == ["f differs", "g is missing"]
    (tmp_path / ".f.tmp").write_bytes(b"")
    assert ".f.tmp is left over" in differences(whole, outcome(tmp_path))
