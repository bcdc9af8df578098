"""Names are read alike everywhere: capitals, hyphens, underscores and spaces do not matter."""

import numpy as np
import pytest

from sparsecpu import SparseMLPClassifier, Trainer
from sparsecpu.cli.lists import LISTS
from sparsecpu.datasets import open_data
from sparsecpu.datasets.names import data_name
from sparsecpu.errors import DataError, ParameterError
from sparsecpu.experiments.comparison import Comparison
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.layers import GELU
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import LayerSpec, mlp
from sparsecpu.networks.models import FAMILIES, find_model, spelled_model
from sparsecpu.optimizers import Adam
from sparsecpu.registries import Registry
from sparsecpu.registries.names import expected_name, find_name, fold, nearest, read_name
from sparsecpu.sparse.first_patterns import first_pattern
from sparsecpu.step.precision import check_precision
from sparsecpu.topology import TOPOLOGIES, RigL, make_topology


@pytest.mark.parametrize("kind", LISTS)
def test_no_two_names_of_a_list_read_alike(kind):
    names = list(LISTS[kind].sentences())
    assert len({fold(name) for name in names}) == len(names)


@pytest.mark.parametrize("kind", LISTS)
def test_every_name_is_found_however_it_is_written(kind):
    names = list(LISTS[kind].sentences())
    for name in names:
        plain = name.replace("-", "").replace("_", "")
        for text in (name, name.upper(), name.replace("-", "_"), name.replace("_", " "), plain):
            assert find_name(text, names) == name


def test_a_name_that_reads_like_another_is_refused():
    known = Registry("meal", {"pea-soup": 1})
    known["pea-soup"] = 2  # the same name may stand for something else
    for name in ("PeaSoup", "pea soup", "pea_soup"):
        with pytest.raises(ParameterError, match="read like pea-soup"):
            known[name] = 3
        assert known.find(name) == 2
    assert "PeaSoup" not in known


@pytest.mark.parametrize(("text", "name"), [
    ("ResNet18", "resnet-18"), ("lenet_300_100", "lenet-300-100"), ("VGG D", "vgg-d"),
    ("GPT-2", "gpt2"), ("ResNet_20", "resnet-20"), ("resnet20", "resnet-20"),
    ("WRN 16 8", "wrn-16-8"), ("wrn16-8:Dropout=0.3", "wrn-16-8:dropout=0.3"),
    ("300,100:Activation=Leaky-ReLU", "300,100:activation=leaky_relu"),
    ("LeNet-300-100:activation=GELU", "lenet-300-100:activation=gelu"),
    ("300,100", "300,100"), ("nothing", "nothing"),
])  # fmt: skip
def test_names_of_models_may_hold_numbers(text, name):
    assert spelled_model(text) == spelled_model(name) == name
    assert (find_model(text) is None) == (name == "nothing" or name[0].isdigit())


@pytest.mark.parametrize(("text", "name"), [
    ("GSE:Distribution=GraBo,subset=2", "gse:distribution=grabo,subset=2"),
    ("sparse_momentum:growth=Momentum,grown-momentum=ZERO",
     "sparse-momentum:growth=momentum,grown_momentum=zero"),
    ("set:variant=Paper,score=L2", "set:variant=paper,score=l2"),
    ("gradual:scope=Layer", "gradual:scope=layer"), ("rigl:decay=Linear", "rigl:decay=linear"),
])  # fmt: skip
def test_names_that_options_have_are_kept_as_they_are_registered(text, name):
    assert TOPOLOGIES.spelled(text) == name
    assert Recipe(topology=text).topology == name


def test_numbers_of_a_family_stay_apart():
    """``wrn168`` might be 16-8 or 1-68: it is neither."""
    assert len(FAMILIES) == 2
    assert find_model("wrn168") is None
    assert find_model("wrn-16-8").keywords == {"depth": 16, "widen": 8}


def test_a_recipe_keeps_names_as_they_are_registered():
    said = Recipe(
        model="ResNet18", topology="Sparse_Momentum:Prune-Rate=0.3", optimizer="ADAM:Beta2=0.9",
        schedule="One Cycle", distribution="ERK", pattern="SmallWorld", augment="Crop_Flip",
        precision="FP32", group="4, Dense", ift="None",
    )  # fmt: skip
    assert said == Recipe(
        model="resnet-18", topology="sparse-momentum:prune_rate=0.3", optimizer="adam:beta2=0.9",
        schedule="one-cycle", distribution="erk", pattern="small-world", augment="crop-flip",
        precision="fp32", group="4,dense", ift="none",
    )  # fmt: skip
    assert said.to_dict()["topology"] == "sparse-momentum:prune_rate=0.3"


def test_options_of_what_is_named_are_read_so_too():
    found = make_topology("GSE:Distribution=GraBo,Update-Every=7")
    assert (found.distribution, found.update_every) == ("grabo", 7)
    assert isinstance(make_topology("RigL"), RigL)


def test_descriptions_keep_kinds_as_they_are_registered():
    assert LayerSpec("Batch-Norm").kind == "batch_norm"
    described = mlp(4, (3,), 2, activation="All ReLU")
    assert described.layers[1].kind == "all_relu"
    assert described.sparsify(0.5, "Uniform") == described.sparsify(0.5, "uniform")
    assert GELU("Tanh").approximate == "tanh"


def test_patterns_and_precisions(rng):
    drawn = first_pattern((6, 8), 12, rng, "Constant Fan-In")
    assert set(np.diff(drawn.indptr)) == {2}
    assert check_precision("FP32", np.float32) == "fp32"


def test_methods_and_data_of_a_comparison():
    found = Comparison("Breast_Cancer", {}, ("Dense", "RigL:prune-rate=.3", "IFT wide/Set"), (0.1,),
                       recipe=Recipe(model="10"), groups=("1", "AUTO"))  # fmt: skip
    assert found.data == "breast-cancer"
    assert found.methods == ("dense", "rigl:prune_rate=.3", "ift-wide/set")
    assert found.groups == ("1", "auto")


@pytest.mark.parametrize(("text", "name"), [
    ("Breast_Cancer", "breast-cancer"), ("Make:Shapes", "make:shapes"), ("CIFAR-10", "cifar10"),
    ("Fashion MNIST", "fashion-mnist"), ("OpenML:Iris", "openml:Iris"),
    ("TEXT:A.txt", "text:A.txt"), ("Other", "Other"), ("", ""),
])  # fmt: skip
def test_names_of_data(text, name):
    assert data_name(text) == name


def test_a_file_counts_more_than_a_name_that_reads_like_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_data("IRIS").name == "iris"
    (tmp_path / "IRIS").write_text("a,b\n" + "1,x\n2,y\n" * 5)
    assert data_name("IRIS") == "IRIS"
    assert open_data("IRIS", format="CSV", task="Classification").x_train.shape[1] == 1
    with pytest.raises(DataError, match=r"scaling is 'chanel'; .*did you mean channel"):
        open_data("iris", scaling="chanel")


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimators_keep_what_they_were_given_and_read_it():
    x, y = np.eye(12), np.arange(12) % 3
    given = dict(solver="SGD", topology="RigL", activation="ReLU", distribution="ERK",
                 learning_rate="Adaptive", precision="FP32")  # fmt: skip
    same = {name: value.lower() for name, value in given.items()}
    found = [
        SparseMLPClassifier((8,), density=0.5, max_iter=3, random_state=0, **chosen).fit(x, y)
        for chosen in (given, same)
    ]
    assert found[0].get_params()["topology"] == "RigL"
    assert np.array_equal(found[0].predict_proba(x), found[1].predict_proba(x))


def test_a_trainer_takes_names():
    network = mlp(4, (6,), 3).sparsify(0.5).build()
    trainer = Trainer(network, loss="Softmax_Cross_Entropy", optimizer="Adam:beta2=0.9",
                      topology="RigL:prune_rate=0.25")  # fmt: skip
    assert isinstance(trainer.loss, SoftmaxCrossEntropy)
    assert isinstance(trainer.optimizer, Adam)
    assert (trainer.optimizer.beta2, trainer.topology.prune_rate) == (0.9, 0.25)
    with pytest.raises(ParameterError, match="did you mean squared-error"):
        Trainer(network, loss="squared")
    with pytest.raises(ParameterError, match="optimizer is 3"):
        Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=3)


def test_what_was_meant_is_asked_for_and_long_lists_are_not_repeated():
    names = [f"thing-{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    assert nearest("thing", names) == names[:3]
    assert nearest("qqq", names) == nearest(None, names) == nearest("", names) == []
    long = expected_name("Thing_A.", names, "things", ", or a number")
    assert (
        long == "one of those that sparsecpu list things shows, or a number; did you mean thing-a?"
    )
    assert expected_name("soop", ["soup", "bread"]) == "one of soup, bread; did you mean soup?"
    for value in (None, 3, ["soup"], b"soup", ""):
        with pytest.raises(ParameterError, match=r"expected one of soup, bread$"):
            read_name("meal", value, ["soup", "bread"])
