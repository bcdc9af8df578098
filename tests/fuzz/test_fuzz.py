"""The harness finds what is planted; readers withstand what was found, and a little more."""

import json
import os

import pytest

from tests.fuzz.finds import Find, corpus
from tests.fuzz.runner import Campaign
from tests.fuzz.target import Folder, attempt, targets
from tests.fuzz.worker import case_of

#: Cases of each target that are tried here; ``python -m tests.fuzz`` tries more.
CASES = {"torch": 20, "scipy-folders": 60, "checkpoints": 50, "run_folders": 50, "images": 80}


@pytest.mark.parametrize("name", targets())
def test_readers_withstand_what_was_found_and_a_little_more(name, tmp_path):
    target, folder = targets()[name], Folder(tmp_path)
    cases = dict(enumerate(target.valid()))
    cases |= {
        number: case_of(target, 0, number) for number in range(100, 100 + CASES.get(name, 200))
    }
    for number, files in (cases | corpus(name)).items():
        failure = attempt(target, folder, files)
        assert failure is None, f"{number}: {failure.details}"


def test_everything_that_is_planted_is_found(tmp_path):
    said = []
    campaign = Campaign(["tests.fuzz.planted"], seed=244, seconds=120, most=8, workers=1,
                        out=tmp_path, say=said.append)  # fmt: skip
    campaign.run()
    count = campaign.counts["tests.fuzz.planted"]
    kinds = sorted(find.kind for find in campaign.finds.values())
    assert kinds == ["crash", "exception", "hang", "memory", "memory", "message", "promise"]
    assert (count.executions, sum(count.finds.values())) == (8, 7)
    assert len(said) == len(os.listdir(tmp_path)) == 7
    for path in tmp_path.iterdir():  # each can be tried again from what was written
        find = Find.from_json(json.loads((path / "find.json").read_text()))
        assert find.files
        assert find.files["it"] == (path / "files" / "it").read_bytes()
