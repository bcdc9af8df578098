"""Networks of images refuse what is no image, wherever it comes from."""

import numpy as np
import pandas as pd
import pytest
from commands import TINY, run
from sklearn.datasets import dump_svmlight_file

from sparsecpu.experiments.pixels import are_numbered, are_pixels
from sparsecpu.networks.models import MODELS

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (60, 8, 8)).astype(np.uint8)
Y = np.arange(60) % 3
CNN = ["--model", "resnet-8:width=0.1", *TINY[2:]]


def refused(*words):
    done = run(*words, "--quiet")
    assert done.exit_code == 2, done.output
    assert len(done.output.strip().splitlines()) == 1
    return done.output


@pytest.mark.parametrize(
    ("x", "said"),
    [(GREY, True), (GREY / 255, True), ((GREY / 255).astype(np.float32), True),
     (RNG.standard_normal((9, 4)), False), (GREY / 100, False), (GREY + 0.5, False),
     (GREY.astype(int) - 1, False), (GREY.astype(int) * 2, False), (GREY % 2, False)],
)  # fmt: skip
def test_pixels_are_whole_numbers_or_those_divided_by_255(x, said):
    assert are_pixels(x.reshape(len(x), -1)) == said


@pytest.mark.parametrize(
    ("names", "said"),
    [(["pixel0", "pixel12"], True), (["1x1", "28x28"], True), (["0", "1"], True),
     (["age", "income"], False), (["age"], False), (["a1", "b2"], False), (["x1", "x1y2"], False)],
)  # fmt: skip
def test_names_of_pixels_differ_by_numbers(names, said):
    assert are_numbered(names) == said


@pytest.mark.parametrize("model", [*MODELS, "resnet-8", "wrn-10-1"])
def test_named_networks_of_images_refuse_tables(model, tmp_path):
    if model in ("lenet-300-100", "mlp-1000-1000"):
        return
    refused("train", "iris", "--model", model)
    path = tmp_path / "t.csv"
    columns = [f"{'abcdefgh'[i % 8] * (i // 8 + 1)}" for i in range(64)]
    pd.DataFrame(GREY.reshape(60, 64), columns=columns).assign(y=Y).to_csv(path, index=False)
    refused("train", path, "--model", model)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A convolutional network, and an MLP that was trained on images."""
    folder = tmp_path_factory.mktemp("models")
    np.savez(folder / "grey.npz", x=GREY, y=Y)
    for name, words in (("cnn", CNN), ("mlp", TINY)):
        done = run("train", folder / "grey.npz", *words, "--out", folder / name)
        assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize("name", ["cnn", "mlp"])
@pytest.mark.parametrize("kind", ["csv", "npz", "svm"])
def test_models_of_images_are_not_asked_about_tables(name, kind, models, tmp_path):
    x, path = RNG.standard_normal((20, 64)), tmp_path / f"t.{kind}"
    if kind == "csv":
        np.savetxt(path, np.c_[x, Y[:20]], delimiter=",")
    elif kind == "npz":
        np.savez(path, x=x, y=Y[:20])
    else:
        dump_svmlight_file(x, Y[:20], str(path), zero_based=False)
    for words in (["evaluate", models / name, path], ["predict", models / name, path],
                  ["train", path, "--init", models / name, "--epochs", 1]):  # fmt: skip
        assert "not pixels" in refused(*words)


@pytest.mark.parametrize("name", ["cnn", "mlp"])
def test_models_of_images_take_pixels_without_a_shape(name, models, tmp_path):
    np.savetxt(tmp_path / "t.csv", np.c_[GREY.reshape(60, 64), Y], delimiter=",", fmt="%d")
    np.savez(tmp_path / "t.npz", x=GREY.reshape(60, 1, 8, 8), y=Y)
    found = [run("predict", models / name, path, "--quiet").output
             for path in (models / "grey.npz", tmp_path / "t.csv", tmp_path / "t.npz")]  # fmt: skip
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("name", ["cnn", "mlp"])
def test_models_of_images_refuse_images_of_another_shape(name, models, tmp_path):
    np.savez(tmp_path / "t.npz", x=GREY.reshape(60, 4, 16), y=Y)
    for command in ("evaluate", "predict"):
        assert "(4, 16)" in refused(command, models / name, tmp_path / "t.npz")
    refused("train", tmp_path / "t.npz", "--init", models / name)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_archives_with_channels_last_are_refused_with_the_transpose(channels, models, tmp_path):
    x = RNG.integers(0, 256, (20, 6, 6, channels)).astype(np.uint8)
    np.savez(tmp_path / "t.npz", x=x, y=Y[:20])
    assert "x.transpose(0, 3, 1, 2)" in refused("train", tmp_path / "t.npz")
    assert "x.transpose(0, 3, 1, 2)" in refused("predict", models / "mlp", tmp_path / "t.npz")
    right = x.transpose(0, 3, 1, 2)
    np.savez(tmp_path / "t.npz", x=right, y=Y[:20])
    assert run("train", tmp_path / "t.npz", *TINY).exit_code == 0
    parts = {"x_train": right, "y_train": Y[:20], "x_test": right.swapaxes(1, 2), "y_test": Y[:20]}
    if channels != 1:
        np.savez(tmp_path / "t.npz", **parts)
        refused("train", tmp_path / "t.npz")


@pytest.mark.parametrize("shape", [(6, 6), (3, 6, 2), (2, 3, 3, 2), (1, 2, 2, 3, 3)])
def test_an_mlp_takes_samples_of_any_number_of_axes(shape, tmp_path):
    np.savez(tmp_path / "t.npz", x=GREY.reshape(60, 64)[:, :36].reshape(60, *shape), y=Y)
    assert run("train", tmp_path / "t.npz", *TINY, "--out", tmp_path / "run").exit_code == 0
    assert run("evaluate", tmp_path / "run", tmp_path / "t.npz", "--quiet").exit_code == 0
