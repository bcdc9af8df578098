"""What bench says must be right; how fast things are is not tested here."""

import json

import numpy as np
import pytest
import scipy.sparse
from commands import run

from sparsecpu.bench.measuring import blas, precisions
from sparsecpu.bench.measuring.speedups import (
    beside_dense,
    break_even,
    fastest,
    known,
    least_ratio,
    ratio,
    shown,
    shown_beside_dense,
)
from sparsecpu.bench.measuring.timing import Timing, compare, summarise
from sparsecpu.bench.rivals import base, linear


def test_everybody_has_turns_and_is_warmed_up():
    calls = []
    contestants = {f"{n}/x": (lambda n=n: calls.append(n)) for n in "ab"}
    times = compare(contestants, rounds=2, seconds=1e-6)
    assert set(times) == {"a/x", "b/x"}
    assert calls[:4] == ["a", "a", "b", "b"]  # warmed up before anybody is timed
    assert calls.index("a", 4) < calls.index("b", 4) < len(calls) - 1 - calls[::-1].index("a")


def test_medians_quartiles_and_how_well_they_are_known():
    sure = summarise([1.0] * 50 + [9.0] * 10)
    assert (sure.ms, sure.low, sure.high, sure.uncertainty) == (1.0, 1.0, 1.0, 0.0)
    assert summarise([1.0, 5.0, 9.0]).uncertainty > 0.5
    rng = np.random.default_rng(0)
    few, many = (summarise(rng.exponential(size=n)).uncertainty for n in (20, 2000))
    assert many < few / 4
    inside = 0
    for _ in range(200):  # the interval holds the true median about 95 times of 100
        values = np.sort(rng.exponential(size=40))
        t = summarise(values)
        inside += abs(t.ms - np.log(2)) <= 2 * t.uncertainty * t.ms
    assert inside > 180


def test_a_ratio_that_means_nothing_is_not_printed():
    clear, vague = Timing(2.0, 1.9, 2.1, 0.01), Timing(2.0, 1.0, 9.0, 0.6)
    assert ratio([clear, clear], [Timing(1.0, 1, 1)]) == 4.0
    assert ratio([vague], [clear]) is None
    assert ratio([clear], [vague]) is None
    assert shown(None) == "too noisy"
    assert (shown(4.0), shown(None, 4.12), shown(None, 34.6)) == ("4.00x", "~4.1x", "~35x")


def test_no_dense_contestant_is_not_noise():
    ours, dense = [Timing(1.0, 1, 1, 0.01)], [Timing(4.0, 4, 4, 0.01)]
    assert shown_beside_dense(beside_dense({"dense": dense}, ours)) == shown(4.0)
    assert shown_beside_dense(beside_dense({}, ours)) not in (shown(None), shown(4.0))


def timing(least, scatter=0.0, **options):
    given = {"ms": 9.0, "uncertainty": 0.9, "least": least, "scatter": scatter} | options
    return Timing(low=9.0, high=9.0, **given)


def test_least_times_stand_in_for_noisy_medians():
    assert least_ratio([timing(2.0), timing(4.0)], [timing(1.5)]) == 4.0
    assert least_ratio([timing(2.0, 0.3)], [timing(1.0)]) is None  # not reached again
    found = summarise([3.0, 1.0, 1.05, 9.0, 1.04])
    assert found.least == 1.0
    assert found.scatter == pytest.approx(0.05)
    assert summarise([1.0, 1.0]).scatter == np.inf


def test_beside_the_fastest_dense_by_least_times():
    ours, near, far = [timing(1.0)], [timing(0.9)], [timing(3.0, 0.8)]
    found = beside_dense({"near": near, "far": far}, ours)
    assert (found["dense_speedup"], found["least_speedup"]) == (None, 0.9)
    assert known(found) == 0.9
    unsure = [timing(1.1, 0.8)]  # might be faster than what was seen of it
    assert beside_dense({"near": near, "unsure": unsure}, ours)["least_speedup"] is None
    clear = beside_dense({"a": [timing(1.0, uncertainty=0.01)]}, [timing(4.0, uncertainty=0.01)])
    assert known(clear) == clear["dense_speedup"] == 1.0  # a clear median counts
    assert known(beside_dense({}, ours)) is None


def dense_rival(name, precision="fp32", dense=True):
    return type(name, (base.Rival,), {"name": name, "precision": precision, "dense": dense})


def test_the_fastest_dense_of_each_precision_and_of_all():
    """Who may round to 16 bits has a faster rival; a table says which of them wins, if one does."""
    rivals = [dense_rival("a"), dense_rival("b"), dense_rival("c", "bf16"),
              dense_rival("masked", dense=False)]  # fmt: skip
    sure = {"uncertainty": 0.01}
    times = {"a": [timing(1, **sure, ms=4.0)], "b": [timing(1, **sure, ms=3.0)],
             "c": [timing(1, **sure, ms=1.0)], "masked": [timing(1, **sure, ms=0.1)]}  # fmt: skip
    ours = [timing(1, **sure, ms=2.0)]
    found = precisions.beside_precisions(rivals, times, ours)
    by = found["by_precision"]
    assert precisions.precisions_of(rivals) == list(by) == ["fp32", "bf16"]
    assert [by[p]["fastest_dense"] for p in by] == ["b", "c"]
    assert [by[p]["dense_speedup"] for p in by] == [1.5, 0.5]
    assert (found["fastest_dense"], found["dense_speedup"], found["dense_ms"]) == ("c", 0.5, 1.0)
    assert precisions.cells(found, by) == [shown(1.5), shown(0.5)]
    assert "bf16" in precisions.dense_is_faster(found)
    slower = precisions.beside_precisions(rivals, times, [timing(1, **sure, ms=3.5)])
    assert "fp32" in precisions.dense_is_faster(slower)
    faster = precisions.beside_precisions(rivals, times, [timing(1, **sure, ms=0.5)])
    assert not precisions.dense_is_faster(faster)
    (line,) = precisions.fastest_lines([found, found])
    assert all(word in line for word in ("fp32: b", "bf16: c", "all: c"))
    nobody = precisions.beside_precisions(rivals[3:], times, ours)
    assert (nobody["by_precision"], nobody["dense_ms"]) == ({}, None)
    assert precisions.fastest_lines([nobody]) == []


def test_the_fastest_is_clear_only_where_nobody_vague_could_be_faster():
    quick, slow = Timing(1.0, 0.9, 1.1, 0.01), Timing(2.0, 1.9, 2.1, 0.01)
    assert fastest({"a": [quick, quick], "b": [slow, slow]}) == ("a", True)
    assert fastest({"a": [quick], "b": [Timing(2.0, 0.5, 9.0, 0.6)]}) == ("a", False)
    assert fastest({"a": [quick], "b": [Timing(5.0, 2.0, 9.0, 0.6)]}) == ("a", True)
    assert fastest({"a": [Timing(1.0, 0.5, 3.0, 0.9)], "b": [slow]}) == ("a", False)


def layer(sparsity, ours, dense):
    return {"sparsity": sparsity, "dense_speedup": dense / ours, "least_speedup": None}


def test_break_even():
    # ours = 0.5 + 10 density against 2: equal at density 0.15
    measured = [layer(s, 0.5 + 10 * (1 - s), 2.0) for s in (0.5, 0.8, 0.9, 0.99)]
    found, inside = break_even(measured)
    assert found == pytest.approx(0.85)
    assert inside
    found, inside = break_even(measured[2:])  # both faster than dense: extrapolated
    assert found == pytest.approx(0.85)
    assert not inside
    found, inside = break_even(measured[:2])
    assert found == pytest.approx(0.85)
    assert not inside
    assert break_even(measured[:1]) == (None, False)


@pytest.mark.parametrize("rival", base.installed(linear.RIVALS)[0], ids=lambda r: r.name)
def test_rivals_compute_what_they_claim(rival):
    rng = np.random.default_rng(0)
    weight = scipy.sparse.csr_array(
        scipy.sparse.random(48, 64, 0.2, format="csr", dtype=np.float32, rng=rng)
    )
    made = rival(weight.copy(), 32, 1)
    parts = made.parts()
    assert {p for name in parts for p in name.split("+")} <= {"forward", "dx", "dw"}
    w = plain(made.w) if rival.dense else weight
    found = {name: call() for name, call in parts.items()}
    y = found["forward"]  # None from SparseProp, which writes into arrays that it is given
    y = made.outs[0] if y is None else plain(y)
    y = y.T if y.shape == (32, 48) else y
    if rival.name != "masked PyTorch":  # has weights of its own
        x, off = made.x, {"atol": 1e-4}
        if rival.precision == "bf16":  # the same products, as good as 8 bits of each factor allow
            assert all(str(a.dtype) == "torch.bfloat16" for a in (made.w, made.xr, *found.values()))
            x, off = plain(made.xr).T, {"rtol": 0.01, "atol": 0.1}
        np.testing.assert_allclose(y, w @ x, **off)


def plain(array):
    """Return what a rival computes as float32, whatever it is kept in."""
    return np.asarray(array.float() if hasattr(array, "float") else array)


def test_missing_rivals_are_named(monkeypatch):
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda name: None)
    found, missing = base.installed(linear.RIVALS)
    assert [r.name for r in found] == ["dense NumPy", "SciPy"]
    assert missing["dense PyTorch"].startswith("pip install")
    assert set(missing) == {r.name for r in linear.RIVALS} - {"dense NumPy", "SciPy"}


def test_rivals_in_bfloat16_are_left_out_only_by_saying_so(monkeypatch):
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda name: True)
    found, missing = base.installed(linear.RIVALS, no_bf16=True)
    assert {r.precision for r in found} == {"fp32"}
    assert list(missing) == ["dense PyTorch bf16"]
    assert "--no-dense-bf16" in missing["dense PyTorch bf16"]


@pytest.mark.parametrize("bad", ["3", "1,x", "", "auto"])
def test_groups_of_other_sizes_are_refused(bad):
    result = run("bench", "linear", "--group", bad, "--blas", "as-is")
    assert result.exit_code == 2
    assert "group" in result.stderr


def test_linear_from_the_command_line():
    args = ("bench", "linear", "--shape", "64x48", "--sparsity", 0.5, "--sparsity", 0.9, "--batch",
            32, "--rounds", 1, "--quiet", "--blas", "as-is", "--group", "4,1")  # fmt: skip
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert {"cpu", "threads", "threading_layer", "versions", "commit", "date"} <= set(
        report["machine"]
    )
    layer = report["linear"]["results"][0]
    assert (layer["n_out"], layer["n_in"]) == (64, 48)
    grouped, case, sparser_grouped, sparser = layer["results"]
    assert [r["group"] for r in layer["results"]] == [4, 1, 4, 1]
    assert (case["nnz"], sparser["nnz"]) == (64 * 48 // 2, round(64 * 48 * 0.1))
    assert (grouped["nnz"], sparser_grouped["nnz"]) == (64 * 48 // 2, 4 * round(64 * 48 * 0.025))
    assert case["dense_ms"] == sparser["dense_ms"]  # timed once, beside both
    assert set(case["ms"]) == {"forward", "dx", "dw", "total"}
    assert case["ms"]["total"] == pytest.approx(
        sum(v for k, v in case["ms"].items() if k != "total")
    )
    for found in layer["results"]:
        peak = {part: rate / found["peak_gflops"] for part, rate in found["gflops"].items()}
        assert found["peak_fraction"] == pytest.approx(peak)
        assert set(found["limit_fraction"]) == {"forward", "dx", "dw"}
    for precision, fastest_dense in case["by_precision"].items():
        assert precision in ("fp32", "bf16")
        assert fastest_dense["dense_ms"] >= case["dense_ms"]
    assert {"dense NumPy", "SciPy"} <= case["ratio"].keys()
    assert case["fastest_dense"].startswith("dense")
    result = run(*args)
    assert result.exit_code == 0, result.output
    assert "64x48, batch 32, group 4, beside dense fp32" in result.stdout


def test_linear_is_drawn(tmp_path, drawn):
    args = ("bench", "linear", "--shape", "64x48", "--sparsity", 0.5, "--sparsity", 0.9, "--batch",
            32, "--rounds", 1, "--quiet", "--blas", "as-is", "--group", "1,4")  # fmt: skip
    result = run(*args, "--json", "--plot", tmp_path / "speed.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "speed.png").exists()
    rows = json.loads(result.stdout)["linear"]["results"][0]["results"]
    axis, limits = drawn[0].axes
    for group in (1, 4):
        own = [row for row in rows if row["group"] == group]
        name = f"64x48, group {group}, batch 32"
        (line,) = [line for line in axis.lines if line.get_label().startswith(name)]
        assert line.get_xdata() == pytest.approx([0.1, 0.5])  # density
        ratios = {
            1 - row["sparsity"]: row["by_precision"]["fp32"]["dense_ms"] / row["ms"]["total"]
            for row in own
        }
        assert line.get_ydata() == pytest.approx([ratios[d] for d in sorted(ratios)])
        (line,) = [line for line in limits.lines if line.get_label() == f"64x48, group {group}"]
        rates = [6e-6 * row["nnz"] * 32 / row["ms"]["total"] for row in own]
        assert line.get_ydata() == pytest.approx(rates)
    assert axis.get_xlim()[0] > axis.get_xlim()[1]  # sparser to the right
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0.1", "0.5"]


def test_the_fastest_blas_is_looked_for_once(monkeypatch):
    rates = {"default": 100.0, "SkylakeX": 200.0}
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(blas, "survey", lambda threads: rates)
    monkeypatch.setattr(blas, "architecture", lambda: "Haswell")
    assert blas.best_core_type(1) == ("SkylakeX", rates)
    monkeypatch.setattr(blas, "architecture", lambda: "SkylakeX")  # it runs with that already
    assert blas.best_core_type(1)[0] == "default"
    started = {}

    def fake(command, env, check):
        started.update(env)
        return type("Done", (), {"returncode": 7})

    monkeypatch.setattr(blas.subprocess, "run", fake)
    assert blas.start_again_under("Zen", rates) == 7
    assert started["OPENBLAS_CORETYPE"] == "Zen"
    for name, value in started.items():
        if name.startswith("SPARSECPU"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(blas, "survey", lambda threads: pytest.fail("asked again"))
    assert blas.best_core_type(1) == ("Zen", rates)
