"""Model files and checkpoints of networks whose rows stand in groups: the index once per group."""

import numpy as np
import pytest
from resumed_runs import SAMPLES, Stop, X, Y, make_trainer, summary

from sparsecpu import Checkpoint, load, save
from sparsecpu.errors import FileFormatError, ResumeError
from sparsecpu.files.archive import read_arrays, write_arrays
from sparsecpu.files.fine_tuning import start_from
from sparsecpu.layers import SparseLinear
from sparsecpu.networks.description import mlp
from sparsecpu.networks.models import find_model
from sparsecpu.step.kept_network import KeptNetwork
from sparsecpu.topology import Static

WEIGHT = "0.weight"


def chain(group=4):
    return mlp(20, (18, 13), 10).sparsify(0.3).in_groups(group)


def branches(group=4):
    described = find_model("resnet-8")((3, 12, 12), 5, width=0.25)
    return described.sparsify(0.3).in_groups(group)


def same(one, other):
    for name, weight in one.sparse_parameters().items():
        found = other.sparse_parameters()[name]
        assert found.pattern == weight.pattern  # groups, too
        np.testing.assert_array_equal(found.data, weight.data)


@pytest.mark.parametrize("group", [2, 4, 8])
@pytest.mark.parametrize("described", [chain, branches])
def test_groups_are_kept_in_files(described, group, rng, tmp_path):
    network = described(group).build(rng)
    assert {p.pattern.group for p in network.sparse_parameters().values()} >= {group}
    save(network, tmp_path / "m.npz", facts={"a": 1})
    again, facts = load(tmp_path / "m.npz")
    same(network, again)
    assert facts == {"a": 1}
    save(again, tmp_path / "n.npz", facts=facts)
    assert (tmp_path / "m.npz").read_bytes() == (tmp_path / "n.npz").read_bytes()


def test_each_shared_column_is_written_once(rng, tmp_path):
    network = mlp(200, (), 96).sparsify(0.3).in_groups(8).build(rng)
    save(network, tmp_path / "m.npz")
    weight, (_, arrays) = network.sparse_parameters()[WEIGHT], read_arrays(tmp_path / "m.npz")
    assert len(arrays[f"{WEIGHT}.indices"]) == weight.nnz // 8
    assert len(arrays[f"{WEIGHT}.indptr"]) == 96 // 8 + 1
    assert arrays[f"{WEIGHT}.group"].tolist() == [8]
    assert (tmp_path / "m.npz").stat().st_size < 5 * weight.nnz + 3000  # 8 without groups


def rewrite(path, change):
    header, arrays = read_arrays(path)
    arrays = dict(arrays)
    change(header["architecture"]["layers"], arrays)
    bad = path.with_name("bad.npz")
    write_arrays(bad, header, arrays)
    return bad


def in_rows(layers, arrays, network):
    """Write the index of the first layer row by row, as if rows stood alone."""
    pattern = network.sparse_parameters()[WEIGHT].pattern
    arrays |= {f"{WEIGHT}.indptr": pattern.indptr, f"{WEIGHT}.indices": pattern.indices}


def test_files_from_before_are_read_as_rows_that_stand_alone(rng, tmp_path):
    network = chain().build(rng)
    save(network, tmp_path / "m.npz")

    def before(layers, arrays):
        for name, weight in network.sparse_parameters().items():
            arrays[f"{name}.indptr"] = weight.pattern.indptr
            arrays[f"{name}.indices"] = weight.pattern.indices
            arrays.pop(f"{name}.group", None)
        for layer in layers:
            layer.pop("group", None)

    old, _ = load(rewrite(tmp_path / "m.npz", before))
    for name, weight in network.sparse_parameters().items():
        found = old.sparse_parameters()[name]
        assert found.pattern.group == 1
        np.testing.assert_array_equal(found.pattern.keys(), weight.pattern.keys())
        np.testing.assert_array_equal(found.data, weight.data)


def group_of(number):
    return lambda layers, arrays: arrays.update({f"{WEIGHT}.group": np.array(number, np.int32)})


LIES = {
    "a group of 3": group_of([3]),
    "a group of 0": group_of([0]),
    "a group of 16": group_of([16]),
    "two groups": group_of([4, 4]),
    "a matrix": group_of([[4]]),
    "no group": lambda layers, arrays: arrays.pop(f"{WEIGHT}.group"),
    "other groups than are described": lambda layers, arrays: layers[0].update(group=2),
    "groups that are not described": lambda layers, arrays: layers[0].pop("group"),
    "a group of text": lambda layers, arrays: layers[0].update(group="4"),
    "a description of groups of 3": lambda layers, arrays: layers[0].update(group=3),
    "other groups": group_of([8]),
    "a group of bytes": lambda layers, arrays: arrays.update(
        {f"{WEIGHT}.group": np.array([4], np.uint8)}
    ),
    "counts that disagree": lambda layers, arrays: layers[0].update(nnz=layers[0]["nnz"] - 1),
    "a value for each shared column": lambda layers, arrays: arrays.update(
        {f"{WEIGHT}.data": arrays[f"{WEIGHT}.data"][: len(arrays[f"{WEIGHT}.indices"])]}
    ),
    "a column too far": lambda layers, arrays: arrays.update(
        {f"{WEIGHT}.indices": arrays[f"{WEIGHT}.indices"] + np.int32(9)}
    ),
    "a group of what has none": lambda layers, arrays: arrays.update(
        {"0.bias.group": np.array([4], np.int32)}
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    network = chain().build(np.random.default_rng(0))
    path = tmp_path_factory.mktemp("model") / "m.npz"
    save(network, path)
    return network, path


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_lies_about_groups_are_refused(lie, saved):
    with pytest.raises(FileFormatError) as caught:
        load(rewrite(saved[1], lie))
    assert str(caught.value).isprintable()


def test_an_index_by_rows_is_none_by_groups(saved):
    network, path = saved

    def alone(layers, arrays):
        in_rows(layers, arrays, network)
        del arrays[f"{WEIGHT}.group"]

    for wrong in (lambda *both: in_rows(*both, network), alone):
        with pytest.raises(FileFormatError, match=r"0\.weight"):
            load(rewrite(path, wrong))


def test_a_layer_that_was_given_another_pattern_is_described_so(rng, tmp_path):
    network = chain().build(rng)
    other = SparseLinear(20, 18, density=0.2, group=2, rng=rng).weight
    network.layers[0].weight = other
    save(network, tmp_path / "m.npz")
    again, _ = load(tmp_path / "m.npz")
    same(network, again)
    assert [again.architecture.layers[i].options["group"] for i in (0, 2)] == [2, 4]


def test_kept_networks_hold_groups(rng):
    network = chain().build(rng)
    kept = KeptNetwork.of(network)
    arrays = kept.arrays()
    again = KeptNetwork.from_arrays(arrays, network)
    assert again.patterns == kept.patterns
    shared = network.sparse_parameters()[WEIGHT].pattern.groups
    assert len(arrays[f"pattern/{WEIGHT}/indices"]) == shared.nnz
    arrays[f"pattern/{WEIGHT}/group"] = np.array([3], np.int32)
    with pytest.raises(FileFormatError, match=r"0\.weight.*group"):
        KeptNetwork.from_arrays(arrays, network)


def grouped_trainer(group=4, **options):
    described = mlp(8, (24, 13), 3, batch_norm=True).sparsify(0.4).in_groups(group)
    network = described.build(np.random.default_rng(1))
    return make_trainer("window", network, topology=Static(), **options)


def test_a_run_in_groups_goes_on_to_the_same_bits(tmp_path):
    wanted = summary(grouped_trainer().fit(X, Y))
    checkpoint = Checkpoint(tmp_path / "run.npz")
    checkpoint.write(grouped_trainer(more=[Stop(11)]).fit(X, Y))
    again = grouped_trainer()
    assert checkpoint.resume(again, SAMPLES)
    assert summary(again.fit(X, Y)) == wanted
    with pytest.raises(ResumeError, match="another network"):
        checkpoint.resume(grouped_trainer(group=2), SAMPLES)


def test_a_new_head_has_the_groups_of_the_old(rng, tmp_path):
    network = chain().build(rng)
    save(network, tmp_path / "m.npz")
    started = start_from(tmp_path / "m.npz", (20,), 7, 0)
    old, new = (n.sparse_parameters()["4.weight"] for n in (network, started))
    assert (new.shape, new.pattern.group) == ((7, 13), 4)
    assert abs(new.nnz - round(old.density * 7 * 13)) < 4
    save(started, tmp_path / "n.npz")
    same(started, load(tmp_path / "n.npz")[0])
