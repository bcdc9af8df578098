import numpy as np
import pytest
from sklearn.metrics import f1_score, mean_absolute_error, r2_score

from sparsecpu.experiments.detailed_scores import (
    MOST_IN_MATRIX,
    detailed_scores,
    scores_of_classes,
    scores_of_labels,
    scores_of_quantities,
    target_names,
)


def test_scores_of_classes_are_those_counted_by_hand(rng):
    y, found = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    y[y == 2] = 1  # no sample of the last class, which is found all the same
    scores = scores_of_classes(y, found, ["a", "b", "c"])
    assert scores["confusion"] == [
        [int(((y == i) & (found == j)).sum()) for j in range(3)] for i in range(3)
    ]
    right = int(((y == 1) & (found == 1)).sum())
    row = scores["classes"][1]
    assert row["label"] == "b"
    assert row["support"] == (y == 1).sum()
    assert row["precision"] == pytest.approx(right / (found == 1).sum())
    assert row["recall"] == pytest.approx(right / (y == 1).sum())
    assert scores["classes"][2]["recall"] == 0 == scores["classes"][2]["support"]
    assert scores["macro"]["f1"] == pytest.approx(np.mean([r["f1"] for r in scores["classes"]]))
    counts = [pair["count"] for pair in scores["confused"]]
    assert sum(counts) == (y != found).sum()
    assert counts == sorted(counts, reverse=True)
    assert all(pair["right"] != pair["found"] for pair in scores["confused"])


def test_a_matrix_of_very_many_classes_is_left_out(rng):
    many = MOST_IN_MATRIX + 1
    y = np.arange(many)
    scores = scores_of_classes(y, np.roll(y, 1), list(range(many)))
    assert scores["confusion"] is None
    assert scores["accuracy"] == 0
    assert 0 < len(scores["confused"]) < many


def test_errors_are_said_for_each_target_and_for_all(rng):
    y = rng.standard_normal((30, 2))
    found = y + rng.standard_normal((30, 2)) * (0.1, 2.0)
    scores = scores_of_quantities(y, found, ["length", "width"])
    first, second = scores["targets"]
    assert first["label"] == "length"
    assert first["mae"] < second["mae"]
    assert first["r2"] == pytest.approx(r2_score(y[:, 0], found[:, 0]))
    assert scores["mae"] == pytest.approx(mean_absolute_error(y, found))
    assert second["bias"] == pytest.approx((found - y)[:, 1].mean())
    assert second["largest"] == pytest.approx(np.abs(found - y)[:, 1].max())


def test_a_single_sample_has_errors_but_no_r2():
    scores = scores_of_quantities(np.array([[1.0]]), np.array([[3.0]]), ["y"])
    assert scores["r2"] is None
    assert scores["mae"] == 2.0


def test_samples_with_several_labels_are_right_as_a_whole_or_in_part(rng):
    y = rng.random((40, 3)) < 0.5
    found = y.copy()
    found[:4, 0] = ~found[:4, 0]
    scores = scores_of_labels(y, found, ["red", "round", "small"])
    assert scores["subset_accuracy"] == 0.9
    assert scores["hamming_loss"] == pytest.approx(4 / 120)
    assert [row["f1"] for row in scores["classes"]][1:] == [1.0, 1.0]
    assert scores["classes"][0]["f1"] == pytest.approx(f1_score(y[:, 0], found[:, 0]))
    assert scores["micro"].keys() == {"precision", "recall", "f1"}


def test_outputs_of_labels_say_yes_above_zero(rng):
    z = rng.standard_normal((50, 2)).astype(np.float32)
    facts = {"task": "multilabel", "classes": ["red", "round"]}
    right = (z > 0).astype(int)
    scores = detailed_scores(z, right, facts)["labels"]
    assert scores["subset_accuracy"] == 1.0
    assert [row["label"] for row in scores["classes"]] == ["red", "round"]
    assert detailed_scores(-z, right, facts)["labels"]["hamming_loss"] == 1.0


def test_a_quantity_is_called_as_the_table_calls_it():
    assert target_names({"columns": {"target": "price"}}, 1) == ["price"]
    assert target_names({}, 1) == ["target"]
    assert target_names({"columns": {"target": None}}, 2) == ["target 1", "target 2"]
