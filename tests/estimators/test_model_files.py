"""Estimators in model files, files and folders of the command line as estimators."""

import json
import pickle

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.base import clone

import sparsecpu
from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.cli import main
from sparsecpu.datasets import load_digits
from sparsecpu.errors import DataWarning, FileFormatError
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.files.archive import read_arrays, write_arrays
from sparsecpu.isoflop import sparse_parallel
from sparsecpu.layers import ReLU, Sequential, SparseLinear
from sparsecpu.models import find_model
from sparsecpu.networks.description import mlp
from sparsecpu.topology import RigL

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"hidden_layer_sizes": (8,), "density": 0.5, "max_iter": 2, "random_state": 0}


def run(*words):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def samples(rng, features=4, count=40):
    return rng.standard_normal((count, features)).astype(np.float32).astype(float)


LABELS = {
    "text": np.array(["a", "b", "c"]),
    "objects": np.array(["no", "yes", "perhaps, or not"], dtype=object),
    "bytes": np.array([3, 7, 9], dtype=np.uint8),
    "floats": np.array([0.0, 1.0, 2.0]),
    "dates": np.array(["2024-01-01", "2024-02-01", "2025-01-01"], dtype="M8[D]"),
    "truth": np.array([False, True]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_a_classifier_comes_back_whole(kind, rng, tmp_path):
    X, y = samples(rng), LABELS[kind][np.arange(40) % len(LABELS[kind])]
    weights = {LABELS[kind][0]: 2.0} if kind in ("text", "bytes") else None
    model = SparseMLPClassifier(**SMALL, class_weight=weights, early_stopping=kind == "text")
    model.fit(X, y).save(tmp_path / "m.npz")
    again = SparseMLPClassifier.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.predict(X).tolist() == model.predict(X).tolist()
    assert again.classes_.dtype == model.classes_.dtype
    assert again.get_params() == model.get_params() == clone(again).get_params()
    for name in ("loss_curve_", "n_iter_", "t_", "validation_scores_", "best_loss_", "group_",
                 "history_"):  # fmt: skip
        assert getattr(again, name) == getattr(model, name), name
    assert type(again.hidden_layer_sizes) is tuple
    assert pickle.loads(pickle.dumps(again)).predict(X).tolist() == model.predict(X).tolist()
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "m.npz").read_bytes()
    said = run("predict", tmp_path / "m.npz", data_file(tmp_path, X)).splitlines()
    assert said == [str(label) for label in model.predict(X)]


def data_file(tmp_path, X):
    np.savez(tmp_path / "x.npz", x=X)
    return tmp_path / "x.npz"


def test_it_goes_on(rng, tmp_path):
    X, y = samples(rng), np.arange(40) % 3
    model = SparseMLPClassifier(**SMALL, warm_start=True).fit(X, y)
    model.save(tmp_path / "m.npz")
    loaded = SparseMLPClassifier.load(tmp_path / "m.npz")
    loaded.fit(X, y)
    model.fit(X, y)  # a warm start begins the optimizer anew, as it does behind a file
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded.loss_curve_ == model.loss_curve_
    before = loaded.network_.parameters()["0.bias"].data.copy()
    loaded.set_params(early_stopping=False).partial_fit(X, y)
    assert (loaded.network_.parameters()["0.bias"].data != before).any()
    with pytest.raises(ValueError, match="new labels"):
        loaded.partial_fit(X, y + 1)
    fresh = loaded.set_params(warm_start=False).fit(X[:, :2], y)
    assert fresh.n_features_in_ == 2
    assert "columns" not in fresh.network_.facts


def test_names_of_columns_come_along(rng, tmp_path):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(samples(rng), columns=["height", "width", "depth", "age"])
    y = pandas.Series(np.where(X.height > X.age, "big", "old"), name="kind")
    model = SparseMLPClassifier(**SMALL).fit(X, y)
    model.save(tmp_path / "m.npz")
    again = SparseMLPClassifier.load(tmp_path / "m.npz")
    assert again.feature_names_in_.tolist() == X.columns.tolist()
    with pytest.raises(ValueError, match="feature names"):
        again.predict(X[["age", "depth", "width", "height"]])
    table = X[["age", "depth", "width", "height"]].assign(kind=y)
    table.to_csv(tmp_path / "d.csv", index=False)
    assert run("predict", tmp_path / "m.npz", tmp_path / "d.csv").split() == list(model.predict(X))
    found = json.loads(run("evaluate", tmp_path / "m.npz", tmp_path / "d.csv", "--json"))
    assert found["test_accuracy"] == model.score(X, y)
    model.fit(X, y.to_numpy()).save(tmp_path / "m.npz")  # now nobody knows what they are called
    found = json.loads(run("evaluate", tmp_path / "m.npz", tmp_path / "d.csv", "--json"))
    assert found["test_accuracy"] == model.score(X, y)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_regressor(outputs, rng, tmp_path):
    X = samples(rng)
    y = X[:, 0] if outputs == 1 else X[:, :2]
    model = SparseMLPRegressor(**SMALL, solver="sgd", learning_rate="invscaling").fit(X, y)
    model.save(tmp_path / "m.npz")
    again = SparseMLPRegressor.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.predict(X).dtype == model.predict(X).dtype
    said = json.loads(run("predict", tmp_path / "m.npz", data_file(tmp_path, X), "--json"))
    np.testing.assert_array_equal(said["predictions"], model.predict(X))
    again.partial_fit(X, y)


def test_several_labels(rng, tmp_path):
    X, y = samples(rng), rng.integers(0, 2, (40, 3))
    model = SparseMLPClassifier(**SMALL).fit(X, y)
    model.save(tmp_path / "m.npz")
    again = SparseMLPClassifier.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.savez(tmp_path / "d.npz", x=X, y=y)
    found = json.loads(run("evaluate", tmp_path / "m.npz", tmp_path / "d.npz", "--json"))
    assert found["test_accuracy"] == model.score(X, y)
    said = json.loads(run("predict", tmp_path / "m.npz", tmp_path / "d.npz", "--json"))
    assert said["predictions"] == model.predict(X).tolist()
    np.savez(tmp_path / "d.npz", x=X, y=y[:, :2])
    refused = CliRunner().invoke(main, ["evaluate", f"{tmp_path}/m.npz", f"{tmp_path}/d.npz"])
    assert refused.exit_code == 2


def test_images(rng, tmp_path):
    X, y = rng.standard_normal((24, 1, 8, 8)), np.array(list("xyz") * 8)
    options = {"density": 0.5, "max_iter": 1, "random_state": 0, "batch_size": 8}
    described = find_model("lenet-5-caffe")
    for given in ("resnet-8", lambda shape, n: mlp(shape, (5,), n)):
        model = SparseCNNClassifier(given, **options)
        model.width = 0.125 if isinstance(given, str) else 1.0
        model.fit(X, y)
        left = () if isinstance(given, str) else ("model",)
        with pytest.warns(DataWarning, match="model") if left else unwarned():
            model.save(tmp_path / "m.npz")
        again = SparseCNNClassifier.load(tmp_path / "m.npz")
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        assert again.image_shape_ == (1, 8, 8)
        refused(SparseMLPClassifier, tmp_path / "m.npz", "SparseCNNClassifier.load")
    network = described((1, 28, 28), 3, width=0.2).sparsify(0.2).build(rng)
    network.save(tmp_path / "by-hand.npz")
    loaded = SparseCNNClassifier.load(tmp_path / "by-hand.npz")
    same = pickle.loads(pickle.dumps(clone(loaded)))
    assert same.model(loaded.image_shape_, 3) == described((1, 28, 28), 3, width=0.2).with_counts(
        iter(np.prod(s) for s in network.architecture.weight_shapes())
    )


def unwarned():
    import contextlib

    return contextlib.nullcontext()


def refused(kind, path, *words):
    with pytest.raises(FileFormatError) as caught:
        kind.load(path)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_run_becomes_an_estimator(tmp_path):
    folder, digits = tmp_path / "run", load_digits()
    run("train", "digits", "--model", "16:activation=tanh", "--epochs", 2, "--out", folder,
        "--topology", "rigl", "--update-every", 40, "--no-dense-timing", "--quiet")  # fmt: skip
    model = SparseMLPClassifier.load(folder)
    shown = {name: model.get_params()[name] for name in ("activation", "max_iter", "topology")}
    assert shown == {"activation": "tanh", "max_iter": 2, "topology": "rigl:update_every=40"}
    assert model.hidden_layer_sizes == (16,)
    assert len(model.loss_curve_) == len(model.history_) == model.n_iter_ == 2
    said = json.loads(run("predict", folder, "digits", "--proba", "--json"))
    found = model.predict_proba(digits.x_test)
    np.testing.assert_array_equal(said["probabilities"], found)
    assert said["predictions"] == model.predict(digits.x_test).tolist()
    assert sparsecpu.load(folder)[0].facts["classes"] == list(range(10))
    refused(SparseMLPRegressor, folder, "SparseMLPClassifier.load")
    model.partial_fit(digits.x_test, digits.classes[digits.y_test]).save(tmp_path / "m.npz")
    again = SparseMLPClassifier.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(
        again.predict_proba(digits.x_test), model.predict_proba(digits.x_test)
    )
    (folder / "model.npz").unlink()  # as of a run that has not ended
    assert SparseMLPClassifier.load(folder).n_iter_ == 2


def test_a_run_on_quantities_predicts_in_their_units(rng, tmp_path):
    network = mlp(4, (8,), 1).sparsify(0.5).build(rng)
    facts = {"task": "regression", "target_mean": [152.5], "target_scale": [77.25],
             "recipe": Recipe(model="8", optimizer="adam").to_dict()}  # fmt: skip
    sparsecpu.save(network, tmp_path / "m.npz", facts=facts)
    model, X = SparseMLPRegressor.load(tmp_path / "m.npz"), samples(rng)
    assert model.solver == "adam"
    found = model.predict(X)
    np.testing.assert_array_equal(found, network.predict(X).astype(float)[:, 0] * 77.25 + 152.5)
    said = json.loads(run("predict", tmp_path / "m.npz", data_file(tmp_path, X), "--json"))
    np.testing.assert_array_equal(said["predictions"], found)
    model.set_params(learning_rate_init=1e-9, alpha=0.0).partial_fit(X, found)
    assert model.loss_ < 1e-6  # half the squared error of targets that were standardised as well
    model.save(tmp_path / "again.npz")
    again = SparseMLPRegressor.load(tmp_path / "again.npz")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_what_a_chain_of_layers_cannot_say_is_told(rng, tmp_path):
    network = sparse_parallel(mlp(4, (6,), 3), 0.5).build(rng)
    network.save(tmp_path / "m.npz")
    with pytest.warns(DataWarning, match="plain chain"):
        model = SparseMLPClassifier.load(tmp_path / "m.npz")
    assert model.predict(samples(rng)).shape == (40,)
    assert model.topology == "static"


def test_networks_made_by_hand(rng, tmp_path):
    network = Sequential([SparseLinear(64, 8), ReLU(), SparseLinear(8, 10, density=1.0)])
    network.save(tmp_path / "net.npz")
    done = CliRunner().invoke(main, ["evaluate", f"{tmp_path}/net.npz", "digits", "--json"])
    assert done.exit_code == 0, done.output
    assert "classes 0 to 9" in done.stderr
    digits = load_digits()
    model = SparseMLPClassifier.load(tmp_path / "net.npz")
    score = model.score(digits.x_test, digits.classes[digits.y_test])
    assert json.loads(done.stdout)["test_accuracy"] == score
    network.facts = {"task": "classification", "classes": list("abcdefghij")}
    network.save(tmp_path / "net.npz")
    assert set(SparseMLPClassifier.load(tmp_path / "net.npz").predict(digits.x_test)) <= set(
        "abcdefghij"
    )


def test_topologies_that_are_objects(rng, tmp_path):
    X, y = samples(rng), np.arange(40) % 3
    rule = RigL(update_every=3, prune_rate=0.25)
    model = SparseMLPClassifier(**{**SMALL, "random_state": np.random.RandomState(0)})
    model.set_params(topology=rule, dtype=np.float32).fit(X, y)
    with pytest.warns(DataWarning, match="random_state"):
        model.save(tmp_path / "m.npz")
    again = SparseMLPClassifier.load(tmp_path / "m.npz")
    assert vars(again.topology) == vars(RigL(update_every=3, prune_rate=0.25))
    assert again.random_state is None
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_what_is_no_estimator_is_refused(rng, tmp_path):
    gpt = find_model("gpt-nano")(layers=1).sparsify(0.5).build(rng)
    gpt.save(tmp_path / "gpt.npz")
    refused(SparseMLPClassifier, tmp_path / "gpt.npz", "gpt.npz")
    (tmp_path / "empty").mkdir()
    refused(SparseMLPClassifier, tmp_path / "empty", "no model.npz")
    refused(SparseMLPClassifier, tmp_path / "none.npz", "none.npz")
    with pytest.raises(ValueError, match="not fitted"):
        SparseMLPClassifier().save(tmp_path / "m.npz")
    assert not (tmp_path / "m.npz").exists()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("results", "density_"), 0.5), (("results", "_seed"), 0),
        (("results", "__class__"), 1), (("results", "network_"), None),
        (("parameters", "no_such"), 1), (("parameters", "density"), 7),
        (("parameters", "topology"), {"topology": "nothing", "options": {"dict": []}}),
        (("parameters", "density"), {"surprise": 1}),
        (("parameters", "hidden_layer_sizes"), {"array": [1], "dtype": "|O"}),
        (("label_type",), "|V8"), (("label_type",), "<M8[D]"), (("seed",), -1),
        (("class",), "Pickle"), (("progress", "factor"), "much"),
    ],
)  # fmt: skip
def test_damaged_estimators_are_refused(place, value, rng, tmp_path):
    path = tmp_path / "m.npz"
    SparseMLPClassifier(**SMALL).fit(samples(rng), np.array(list("ab") * 20)).save(path)
    header, arrays = read_arrays(path)
    *way, last = place
    part = header["facts"]["estimator"]
    for name in way:
        part = part[name]
    part[last] = value
    write_arrays(path, header, arrays)
    refused(SparseMLPClassifier, path, str(path))
