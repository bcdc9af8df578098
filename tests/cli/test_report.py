"""``report``: a page about a run, or a comparison, that holds all it shows."""

import json
import shutil

import numpy as np
import pages
import pytest
from commands import TINY, run
from language import VERSE, _model, verse  # noqa: F401


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert run("train", "digits", *TINY, "--out", folder).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparisons") / "c"
    made = run("compare", "iris", "--methods", "dense,static,set", "--densities", "0.1,0.3",
               "--seeds", 3, "--folds", 2, "--model", "40", "--epochs", 2, "--learning-rates",
               "0.02,0.05", "--out", folder, "--quiet")  # fmt: skip
    assert made.exit_code == 0, made.output
    return folder


@pytest.fixture
def copied(digits, tmp_path):
    return shutil.copytree(digits, tmp_path / "copied run")


def report(tmp_path, *args):
    """Write a page and return it, with what was said."""
    done = run("report", *args, "--out", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    return pages.read(tmp_path / "page.html"), done.stderr


def test_a_page_says_all_of_a_run(digits, tmp_path):
    page, said = report(tmp_path, digits)
    assert said.count("\n") == 1
    kept = json.loads((digits / "result.json").read_text())
    assert f"{100 * kept['test_accuracy']:.2f} %" in page.text
    assert "sparsecpu train digits --model 40 " in page.text
    for words in ("Learning curves", "Density of each layer", "precision", "taken for",
                  "before the first step", kept["cpu"], kept["versions"]["numpy"]):  # fmt: skip
        assert words in page.text
    assert 0 < len(page.all("img")) <= 24
    frames = [a for _, a, above in page.tags if a.get("class") == "heat" and "figure" in above]
    assert len([a for a in frames if "viewbox" in a and "Weights per" in a["aria-label"]]) == 3


def test_pages_are_called_after_their_runs_and_replace_none_unsaid(copied, monkeypatch):
    monkeypatch.chdir(copied.parent)
    first = run("report", copied)
    assert first.exit_code == 0, first.output
    assert (copied.parent / "copied run-report.html").is_file()
    assert "in place of" not in first.stderr
    assert "in place of" in run("report", copied, "--out", "copied run-report.html").stderr


def test_a_table_has_its_features_and_no_pictures(tmp_path):
    rows = [f"{i % 7},{i % 3},{'<b>yes & no</b>' if i % 3 else 'no'}" for i in range(60)]
    data = tmp_path / "a file & <more>.csv"
    data.write_text("\n".join(["<i>age</i>,size,<script>alert(1)</script>", *rows]))
    folder = tmp_path / "a run"
    made = run("train", data, *TINY, "--out", folder)
    assert made.exit_code == 0, made.output
    page, _ = report(tmp_path, folder)
    text = (tmp_path / "page.html").read_text()
    assert "<b>yes" not in text
    assert "alert(1)</script>" not in text
    assert "<i>age" not in text
    assert "<b>yes & no</b>" in page.text
    assert "<i>age</i>" in page.text
    assert not page.all("img")
    assert f"sparsecpu train '{data}' --model" in page.text


def test_quantities_are_drawn_beside_what_is_right(tmp_path):
    folder = tmp_path / "r"
    assert run("train", "diabetes", *TINY, "--out", folder).exit_code == 0
    page, _ = report(tmp_path, folder)
    for words in ("RMSE", "bias", "The largest errors"):
        assert words in page.text
    assert len([a for a in page.all("circle") if "cx" in a]) == 89


def test_a_language_model_writes(verse, tmp_path):  # noqa: F811
    folder = tmp_path / "r"
    made = run("train", verse, "--model", "words", "--epochs", 2, "--density", 0.5, "--out", folder,
               "--quiet")  # fmt: skip
    assert made.exit_code == 0, made.output
    page, _ = report(tmp_path, folder)
    for words in ("perplexity", "bits per byte", "What it writes", "--epochs 2"):
        assert words in page.text
    assert set(page.within["pre"]) <= set(VERSE) | set(page.text)
    before = page.text
    page, _ = report(tmp_path, folder, verse)
    assert f"Scores on {verse}" in page.text
    assert f"Scores on {verse}" not in before


def test_what_is_gone_is_said_and_the_rest_is_shown(tmp_path, rng):
    x = rng.random((40, 6)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=(x[:, 0] > 0.5).astype(int))
    folder = tmp_path / "r"
    assert run("train", tmp_path / "d.npz", *TINY, "--out", folder).exit_code == 0
    whole, _ = report(tmp_path, folder)
    (tmp_path / "d.npz").rename(tmp_path / "moved.npz")
    page, said = report(tmp_path, folder)
    assert "d.npz" in said
    assert "could not be shown" in page.text
    assert "Learning curves" in page.text
    moved, said = report(tmp_path, folder, tmp_path / "moved.npz")
    assert "could not be shown" not in moved.text
    assert moved.text.count("precision") == whole.text.count("precision")


def test_a_page_is_no_surer_than_the_summary_of_which_is_faster(copied, tmp_path):
    result = json.loads((copied / "result.json").read_text())
    timed = {"step_ms": 0.1, "dense_step_ms": 0.2, "dense_library": "NumPy"}
    for verdict, surer in (("ours", True), ("unclear", False)):
        told = {**result, **timed, "dense_verdict": verdict}
        (copied / "result.json").write_text(json.dumps(told))
        page, _ = report(tmp_path, copied)
        assert ("2 times as long" in page.text) == surer


def test_data_that_are_named_and_cannot_be_read_are_refused(digits, tmp_path):
    done = run("report", digits, digits, "--out", tmp_path / "page.html")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


def test_a_run_that_has_not_ended_has_a_page(copied, tmp_path):
    for name in ("model.npz", "result.json", "history.jsonl"):
        (copied / name).unlink()
    page, _ = report(tmp_path, copied)
    for words in ("has not ended", "history is empty", "nothing is known of how fast"):
        assert words in page.text


def test_an_older_run_without_a_result_or_checkpoint_has_a_page(copied, tmp_path):
    for name in ("result.json", "checkpoint.npz"):
        (copied / name).unlink()
    page, _ = report(tmp_path, copied)
    assert "before the first step" not in page.text
    assert "no result.json" in page.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("history.jsonl", '{"epoch": 1, "updates": [{"step": 1, "prune_rate": 0.1, "layers": '
                          '{"9.weight": {"dropped": 1, "grown": 1, "nnz": 1}}}]}\n'),
        ("history.jsonl", "{"), ("result.json", '{"step_ms": "fast"}'), ("config.json", "{}"),
    ],
)  # fmt: skip
def test_damaged_folders_are_refused_in_a_line(copied, tmp_path, name, text):
    (copied / name).write_text(text + "\n")
    done = run("report", copied, "--out", tmp_path / "page.html")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("what", ["nowhere", "empty", "model.npz"])
def test_what_is_no_run_is_refused_in_a_line(what, digits, tmp_path):
    (tmp_path / "empty").mkdir()
    place = digits / what if what == "model.npz" else tmp_path / what
    done = run("report", place, "--out", tmp_path / "page.html")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "RUN" in done.stderr


def test_a_comparison_has_a_page(compared, tmp_path):
    page, _ = report(tmp_path, compared)
    for words in ("Paired differences", "Against the dense network", "times as fast as dense",
                  "How the learning rate was chosen", "--folds 2"):  # fmt: skip
        assert words in page.text
    document = json.loads((compared / "comparison.json").read_text())
    for row in document["rows"]:
        assert f"{100 * row['score']:.2f}" in page.text
    again, _ = report(tmp_path, compared / "comparison.json")
    assert again.text[:-60] == page.text[:-60]  # but for the time


def test_a_comparison_that_has_not_ended_says_so(compared, tmp_path):
    part = shutil.copytree(compared, tmp_path / "part")
    lines = (part / "results.jsonl").read_text().splitlines(keepends=True)
    (part / "results.jsonl").write_text("".join(lines[:7]))
    page, _ = report(tmp_path, part)
    assert "has not ended" in page.text
    assert f"--out {part}" in page.text
    (part / "results.jsonl").unlink()
    assert run("report", part, "--out", tmp_path / "no.html").exit_code == 2
    assert run("report", compared, "iris", "--out", tmp_path / "no.html").exit_code == 2
