"""Weights of GPT-2 by the names of Hugging Face and of nanoGPT; our own there and back."""

import json

import numpy as np
import pytest
from commands import run

from sparsecpu import load
from sparsecpu.errors import FileFormatError
from sparsecpu.interop import export_network, import_network
from sparsecpu.models import gpt

torch = pytest.importorskip("torch")

WORDS, BLOCK, WIDTH, LAYERS = 17, 8, 12, 2
DESCRIBED = gpt((BLOCK,), WORDS, layers=LAYERS, heads=3, width=WIDTH)
IDS = np.random.default_rng(5).integers(0, WORDS, (3, BLOCK))


def state(turned):
    """Return tensors of a GPT-2, its matrices in columns if they are ``turned``."""
    rng = np.random.default_rng(0)
    found = {"wte.weight": (WORDS, WIDTH), "wpe.weight": (BLOCK, WIDTH)}
    found |= {"ln_f.weight": (WIDTH,), "ln_f.bias": (WIDTH,)}
    for block in range(LAYERS):
        sizes = {"attn.c_attn": (3 * WIDTH, WIDTH), "attn.c_proj": (WIDTH, WIDTH),
                 "mlp.c_fc": (4 * WIDTH, WIDTH), "mlp.c_proj": (WIDTH, 4 * WIDTH)}  # fmt: skip
        for name, (n_out, n_in) in sizes.items():
            shape = (n_in, n_out) if turned else (n_out, n_in)
            found |= {f"h.{block}.{name}.weight": shape, f"h.{block}.{name}.bias": (n_out,)}
        for name in ("ln_1", "ln_2"):
            found |= {f"h.{block}.{name}.{leaf}": (WIDTH,) for leaf in ("weight", "bias")}
    return {
        name: torch.tensor(rng.normal(0, 0.3, shape), dtype=torch.float32)
        for name, shape in found.items()
    }


def outputs(tensors, turned, ids):
    """Return what GPT-2 says, as its authors wrote it."""
    functional = torch.nn.functional

    def linear(name, x):
        w = tensors[f"{name}.weight"]
        return functional.linear(x, w.T if turned else w, tensors[f"{name}.bias"])

    def norm(name, x):
        return functional.layer_norm(
            x, (WIDTH,), tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        )

    x = tensors["wte.weight"][ids] + tensors["wpe.weight"]
    for block in (f"h.{i}" for i in range(LAYERS)):
        parts = linear(f"{block}.attn.c_attn", norm(f"{block}.ln_1", x)).split(WIDTH, dim=2)
        q, k, v = (t.reshape(len(ids), BLOCK, 3, WIDTH // 3).transpose(1, 2) for t in parts)
        a = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + linear(f"{block}.attn.c_proj", a.transpose(1, 2).flatten(2))
        wide = linear(f"{block}.mlp.c_fc", norm(f"{block}.ln_2", x))
        x = x + linear(f"{block}.mlp.c_proj", functional.gelu(wide, approximate="tanh"))
    return (norm("ln_f", x) @ tensors["wte.weight"].T).numpy()


@pytest.mark.parametrize("turned", [True, False])
def test_a_gpt2_predicts_the_same(turned):
    tensors = state(turned)
    named = {f"transformer.{name}": t for name, t in tensors.items()}
    named["transformer.h.0.attn.bias"] = torch.ones(1, 1, BLOCK, BLOCK)
    if not turned:
        named["lm_head.weight"] = tensors["wte.weight"]
    network, report = import_network(named, DESCRIBED)
    assert not report.missing
    assert not report.unused
    wanted = outputs(tensors, turned, torch.tensor(IDS))
    np.testing.assert_allclose(network.predict(IDS), wanted, atol=1e-4)


def test_it_is_pruned_on_the_way_in():
    tensors = state(True)
    network, _ = import_network(tensors, DESCRIBED, density=0.25)
    assert network.density == pytest.approx(0.25, rel=0.01)
    kept = network.parameters()["1.branch.1.key.0.weight"].to_scipy()
    whole = tensors["h.0.attn.c_attn.weight"].numpy()[:, WIDTH : 2 * WIDTH].T
    rows, columns = kept.nonzero()
    assert np.array_equal(kept.toarray()[rows, columns], whole[rows, columns])
    assert abs(kept.data).min() > np.median(abs(whole))


@pytest.mark.parametrize("to", ["torch", "safetensors"])
def test_our_own_go_there_and_back(to, tmp_path):
    network = DESCRIBED.sparsify(0.4).build(np.random.default_rng(1))
    path = tmp_path / ("it.pt" if to == "torch" else "it.safetensors")
    export_network(network, path, to)
    again, report = import_network(path, DESCRIBED)
    assert not report.missing
    assert again.nnz == network.nnz
    assert np.array_equal(again.predict(IDS), network.predict(IDS))


def test_the_command_imports_one(tmp_path):
    torch.save(state(True), tmp_path / "gpt2.pt")
    model = f"gpt:layers={LAYERS},heads=3,width={WIDTH},block={BLOCK}"
    done = run("import", tmp_path / "gpt2.pt", "--model", model, "--density", "0.5", "--out",
               tmp_path / "run", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["density"] == pytest.approx(0.5, rel=0.01)
    network, _ = load(tmp_path / "run")
    assert network.predict(IDS).shape == (3, BLOCK, WORDS)


def test_what_does_not_fit_is_refused():
    with pytest.raises(FileFormatError):
        import_network(state(True), gpt((BLOCK,), WORDS, layers=3, heads=3, width=WIDTH))
    wrong = state(True)
    wrong["h.0.attn.c_attn.bias"] = torch.zeros(5)
    with pytest.raises(FileFormatError):
        import_network(wrong, DESCRIBED)
