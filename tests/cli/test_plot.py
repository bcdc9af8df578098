"""Learning curves of runs, drawn into files."""

import json
import re

import pytest
from commands import TINY, run

from sparsecpu.experiments.curves import Curves, read_curves
from sparsecpu.experiments.plots.curves import measured

#: How files of each kind begin.
BEGINNINGS = {"png": b"\x89PNG", "svg": b"<?xml"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that is scored, and keeps its best network, and one that is not."""
    folder = tmp_path_factory.mktemp("plotted")
    scored = ["--validation", 0.2, "--best", "--topology", "set"]
    for name, more in (("scored", scored), ("plain", [])):
        result = run("train", "iris", *TINY, "--epochs", 6, "--out", folder / name, *more)
        assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_curves_of_several_runs_are_drawn_over_each_other(runs, kind, tmp_path):
    out = tmp_path / f"both.{kind}"
    result = run("plot", runs / "scored", runs / "plain", "--out", out, "--over", "steps", "--json")
    assert result.exit_code == 0, result.output
    assert out.read_bytes().startswith(BEGINNINGS[kind])
    found = json.loads(result.stdout)
    assert found["curves"] == ["loss", "score", "learning_rate", "density"]
    assert list(found["epochs"].values()) == [6, 6]


def test_the_picture_of_one_run_stands_beside_it(runs):
    before = sorted((runs / "plain").iterdir())
    result = run("plot", runs / "plain")
    assert result.exit_code == 0, result.output
    assert "plain-curves.png" in result.stdout
    assert "--validation" in result.stderr  # what keeps scores, which it has not
    assert (runs / "plain-curves.png").read_bytes().startswith(BEGINNINGS["png"])
    assert sorted((runs / "plain").iterdir()) == before


def test_curves_are_those_of_the_history(runs):
    curves = read_curves(str(runs / "scored"))
    lines = (runs / "scored" / "history.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert curves.series("validation_score") == (
        [1, 2, 3, 4, 5, 6], [record["validation_score"] for record in records]
    )  # fmt: skip
    assert curves.series("loss", "steps")[0] == [record["step"] for record in records]
    densities = curves.densities()
    assert list(densities) == ["0", "2"]  # the network's names
    assert densities["2"][1] == [record["densities"][1] for record in records]
    scores = curves.series("validation_score")[1]
    assert curves.best() == scores.index(max(scores)) + 1
    assert curves.score == "accuracy"


def test_histories_of_older_versions_and_of_runs_at_work_are_drawn(runs, tmp_path):
    """What was not measured is left out, what is no number too, and a line that is cut off."""
    folder = tmp_path / "older"
    folder.mkdir()
    records = [{"epoch": n + 1, "step": n, "loss": 1 / (n + 1), "seconds": 0.1} for n in range(4)]
    records[2]["loss"] = float("nan")
    records[3]["densities"] = "none"
    lines = [json.dumps(record) for record in records]
    (folder / "history.jsonl").write_text("\n".join([*lines, '{"epoch": 5, "lo']))
    curves = read_curves(str(folder))
    assert measured([curves]) == ["loss"]
    assert curves.series("loss") == ([1, 2, 4], [1, 1 / 2, 1 / 4])
    for given in (folder, folder / "history.jsonl"):
        result = run("plot", given)
        assert result.exit_code == 0, result.output
        assert (tmp_path / "older-curves.png").stat().st_size > 5_000
        (tmp_path / "older-curves.png").unlink()


def test_scores_within_epochs_are_placed_between_their_ends():
    records = [
        {"epoch": 1, "step": 10, "loss": 2.0, "evaluations": [{"step": 5, "loss": 3.0}]},
        {"epoch": 2, "step": 20, "loss": 1.0, "evaluations": [{"step": 15, "loss": 1.5}]},
    ]
    curves = Curves(records)
    assert curves.held_out(("loss",)) == ([0.5, 1.5], [3.0, 1.5])
    assert curves.held_out(("loss",), "steps") == ([5, 15], [3.0, 1.5])


def test_networks_of_many_layers_are_drawn(tmp_path):
    """Layers that a legend could not name are told apart by a scale of colours."""
    from sparsecpu.experiments.plots.curves import plot_curves

    records = [
        {"epoch": n, "densities": [0.01 * n + 0.02 * k for k in range(30)], "train_score": -5.0 / n}
        for n in range(1, 4)
    ]
    plot_curves([Curves(records, score="R²")], tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 5_000


def test_validation_is_whole_and_training_dashed_wherever_they_are_drawn(runs, tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    from sparsecpu.experiments.plots.curves import draw_panel

    scored, plain = (read_curves(str(runs / name)) for name in ("scored", "plain"))
    axes = pyplot.figure().subplots(2, 2).ravel()
    for axis, panel, some in zip(
        axes, ("loss", "score", "loss", "loss"), ([scored], [scored], [plain], [scored, plain]),
        strict=True,
    ):  # fmt: skip
        draw_panel(axis, panel, some, alone=len(some) == 1)
    whole = [[line.get_linestyle() == "-" for line in axis.get_lines()] for axis in axes]
    assert whole[0][:2] == whole[1][:2] == [False, True]  # training, validation
    assert whole[2] == [True]  # nothing to tell it from
    assert whole[3] == [False, True, False]
    pyplot.close("all")

    assert run("report", runs / "scored", "--out", tmp_path / "p.html").exit_code == 0
    text = (tmp_path / "p.html").read_text()
    for title in ("Loss", "Accuracy"):
        legend = text.partition(f"<figcaption>{title}</figcaption>")[2].partition("</figure>")[0]
        legend = legend.partition("<ul")[2]
        looks = dict(reversed(pair) for pair in re.findall(r"curve (s\d).*?</svg>(\w+)", legend))
        assert looks == {"training": "s1", "validation": "s0"}  # dashed, whole


def test_densities_of_several_runs_have_one_scale(tmp_path, monkeypatch):
    from sparsecpu.experiments.plots import curves as drawn

    runs = [
        Curves([{"epoch": n, "densities": [top * n, 0.1]} for n in (1, 2)], name=str(top))
        for top in (0.1, 0.4)
    ]
    kept = []
    monkeypatch.setattr(drawn, "keep", lambda drawing, path: kept.append(drawing))
    drawn.plot_curves(runs, tmp_path / "p.png")
    first, second = (axis for axis in kept[0].axes if axis.get_ylabel() == "density")
    assert first.get_ylim() == second.get_ylim()
    assert first.get_ylim()[1] >= 0.8


def test_what_cannot_be_drawn_is_refused_in_one_line(runs, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "history.jsonl").write_text("")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "history.jsonl").write_text('{"epoch": 1}\n')
    plain = runs / "plain"
    for words, said in (
        ((tmp_path / "nothing",), "has no history"),
        ((tmp_path,), "has no history"),
        ((tmp_path / "new",), "no epoch"),
        ((tmp_path / "bare",), "numbers to draw"),
        ((plain, plain), "each run once"),
        ((plain, "--out", tmp_path / "p.xyz"), ".png, .svg or .pdf"),
        ((), "RUN"),
    ):
        result = run("plot", *words)
        assert result.exit_code == 2, words
        assert said in result.stderr, words
        assert result.stderr.count("\n") <= 2, words  # a note may stand above
    assert not (tmp_path / "p.xyz").exists()


@pytest.mark.parametrize(
    ("command", "ending"),
    [(("plot", "plain"), "png"), (("export", "plain", "--to", "scipy"), "d"),
     (("import", "plain/model.npz"), "npz")],
)  # fmt: skip
def test_it_is_said_that_a_file_is_replaced(runs, command, ending, tmp_path):
    name, run_folder, *more = command
    words = [name, runs / run_folder, *more, "--out", tmp_path / f"x.{ending}"]
    first, second = run(*words), run(*words)
    assert first.exit_code == second.exit_code == 0, first.output + second.output
    assert "in place of" not in first.stdout
    assert "in place of" in second.stdout
