"""Every way to compute a random network's outputs and steps must agree with the plain one."""

import numpy as np
from architectures import Case, random_case

from sparsecpu.layers import tunable_layers
from sparsecpu.optimizers import SGD
from sparsecpu.topology import make_topology
from sparsecpu.trainer import Trainer

#: Learning rates of one step, and of several over the length of the first gradient.
_RATE, _LENGTH = 0.01, 1e-3
_TOPOLOGIES = (
    "deep-r:update_every=2", "dsr:update_every=2", "gradual:update_every=2", "set:update_every=2",
    "rigl:update_every=2", "gse:update_every=2", "gse:update_every=2,distribution=grabo,subset=2",
    "gse:update_every=2,distribution=graest,scope=global", "sparse-momentum:update_every=2",
    "sparse-momentum:update_every=2,source=window", "sparse-momentum:update_every=2,source=tiles",
    "sparse-momentum:update_every=2,source=lowrank", "static",
    "sparse-momentum:update_every=2,source=candidates",
)  # fmt: skip


def try_all_ways(case: Case, seed: int) -> None:
    """Predict and train in all ways; the case's network is trained by a step."""
    rng, dtype = np.random.default_rng(seed), case.network.dtype
    assert case.network.summary()
    _predict(case)
    rate = _LENGTH / _step(case)
    _train([random_case(seed, dtype) for _ in range(2)], rate, rng)
    if not case.has("conv2d"):
        _lean([random_case(seed, dtype) for _ in range(2)], rate)
    whole = case.network.predict(case.x)
    for _, layer in tunable_layers(case.network):
        layer.form = "dense" if layer.form == "sparse" else "sparse"
    _close(case.network.predict(case.x), whole, "other forms")
    _predict(case)
    if rng.random() < 0.1:
        case.network.autotune(len(case.x))
        _close(case.network.predict(case.x), whole, "tuned")


def _close(a: np.ndarray, b: np.ndarray, what: str) -> None:
    single = a.dtype == np.float32
    scale = max(np.abs(b).max(initial=0), 1e-6)
    np.testing.assert_allclose(a, b, atol=scale * (1e-4 if single else 1e-10), err_msg=what)


def _predict(case: Case) -> None:
    """In parts, one by one, and compiled."""
    network, x = case.network, case.x
    whole = network.predict(x)
    _close(network.predict(x, batch_size=3), whole, "in parts")
    _close(network.compile(batch_size=len(x))(x), whole, "compiled")
    _close(network.compile()(x[:1]), whole[:1], "one sample")


def _step(case: Case) -> float:
    """One step of a trainer is one along the gradient, whose length is returned, at least 1."""
    network = case.network
    _, gradients = network.loss_and_gradients(case.x, case.y, case.loss)
    before = {name: p.data.copy() for name, p in network.parameters().items()}
    trainer = Trainer(network, loss=case.loss, optimizer=SGD(momentum=0), learning_rate=_RATE,
                      batch_size=len(case.x), epochs=1, shuffle=False)  # fmt: skip
    trainer.fit(case.x, case.y)
    for name, parameter in network.parameters().items():
        if case.has("dropout"):  # whose stream is another one
            assert np.isfinite(parameter.data).all()
        else:
            _close(parameter.data, before[name] - _RATE * gradients[name], name)
    return 1 + sum(np.abs(gradient).sum(dtype=float) for gradient in gradients.values())


def _train(cases: list[Case], rate: float, rng: np.random.Generator) -> None:
    """Train while the pattern changes, on one thread and on two: the same bits."""
    name, single = str(rng.choice(_TOPOLOGIES)), cases[0].network.dtype == np.float32
    precision = "bf16" if single and rng.random() < 0.5 else "fp32"
    for threads, case in enumerate(cases, start=1):
        network = case.network
        count = network.nnz
        trainer = Trainer(network, loss=case.loss, topology=make_topology(name), epochs=3,
                          learning_rate=rate, batch_size=max(1, len(case.x) // 2),
                          precision=precision, threads=threads)  # fmt: skip
        trainer.fit(case.x, case.y)
        assert np.isfinite(network.predict(case.x)).all(), name
        assert network.nnz == count or name.startswith("gradual"), name
    first, second = (case.network.parameters() for case in cases)
    for key, parameter in first.items():
        np.testing.assert_array_equal(parameter.data, second[key].data, err_msg=f"{name}, {key}")


def _lean(cases: list[Case], rate: float) -> None:
    for case, lean in zip(cases, (False, True), strict=True):
        Trainer(case.network, loss=case.loss, epochs=2, learning_rate=rate, lean=lean,
                batch_size=max(1, len(case.x) // 2)).fit(case.x, case.y)  # fmt: skip
    plain, lean = (case.network.parameters() for case in cases)
    for name, parameter in plain.items():
        _close(lean[name].data, parameter.data, f"lean, {name}")
