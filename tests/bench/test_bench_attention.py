"""``bench attention``: what is timed, and what is said of it."""

import json

import pytest
from commands import run

from sparsecpu.bench.cases import AttentionCase
from sparsecpu.bench.ours.attention import OurAttention
from sparsecpu.bench.plots import plot

MACHINE = {"cpu": "a CPU", "instruction_set": "AVX2", "threads": 1, "date": "2026-01-01"}


@pytest.mark.parametrize("way", [(), ("--both-ways",)])
def test_attention_from_the_command_line(way, tmp_path, drawn):
    args = "bench", "attention", "--shape", "2-20-3-8", "--rounds", 1, "--quiet", "--threads", 1
    result = run(*args, *way, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["attention"]["results"][0]
    assert found["case"] == "2x20, 3 heads of 8"
    assert found["causal"] == (not way)
    one = found["results"][0]
    seen = 20 * 20 if way else 20 * 21 // 2
    rates = {part: one["gflops"][part] * one["ms"][part] * 1e6 for part in ("forward", "backward")}
    assert rates == {p: pytest.approx(n * 2 * 2 * 3 * 8 * seen) for p, n in
                     {"forward": 2, "backward": 5}.items()}  # fmt: skip
    plot("attention", [found], {"machine": MACHINE}, tmp_path / "attention.svg")
    beside = one["by_precision"]
    assert len(drawn[0].axes[0].containers) == len(beside)  # none without PyTorch
    for bad in ("2-20-3", "2-20-3-x", "0-20-3-8"):
        assert run("bench", "attention", "--shape", bad).exit_code == 2


def test_attention_that_is_timed_is_pytorchs():
    torch = pytest.importorskip("torch")
    case = AttentionCase(3, 70, 2, 8, True, 1)
    ours = OurAttention(case)
    for call in ours.parts().values():
        call()
    real = (ours.given[3] >= 0).reshape(-1, 64)  # lanes of tokens, and of padding

    def batch(tiles):
        lanes = tiles.transpose(0, 2, 1)[real].reshape(3, 70, 2, 8)
        return torch.from_numpy(lanes.transpose(0, 2, 1, 3).copy()).requires_grad_()

    q, k, v = (batch(x) for x in ours.given[:3])
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    wanted = torch.autograd.grad(y, (q, k, v), batch(ours.dy))
    for x, exact in zip((ours.y, *ours.gradients), (y, *wanted), strict=True):
        torch.testing.assert_close(batch(x), exact, atol=1e-5, rtol=1e-5, check_stride=False)


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ({}, "nothing dense ran: no ratio to draw"),
        ({"fp32": {"dense_speedup": None, "least_speedup": None}}, "too noisy"),
        ({"fp32": {"dense_speedup": None, "least_speedup": 1.25}}, "1.2x"),
    ],
)
def test_a_picture_draws_no_ratio_that_is_not_known(beside, said, tmp_path, drawn):
    result = {"case": "2x20", "causal": True, "results": [{"by_precision": beside}]}
    plot("attention", [result], {"machine": MACHINE}, tmp_path / "attention.png")
    assert said in [text.get_text() for text in drawn[0].axes[0].texts]
