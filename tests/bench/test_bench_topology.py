"""``bench topology``: what is counted, and what cannot be timed."""

import json

from commands import run

from sparsecpu.bench.cases import Variant
from sparsecpu.bench.subjects import topology


def test_topology_counts_updates(monkeypatch):
    monkeypatch.setattr(topology, "_INTERVAL", 12)
    bench = topology.Topology("quick", 1)
    for algorithm in ("set", "sparse-momentum:source=tiles"):
        found = bench.run((algorithm, (30, 20, 5), Variant(0.8)))
        assert found["update_ms"] > 0
        assert (found["watch_ms"] > 0) == (algorithm != "set")
        assert algorithm in bench.row(found)


def test_topology_is_timed_for_what_is_asked_for(monkeypatch):
    monkeypatch.setattr(topology, "_INTERVAL", 12)
    args = ("bench", "topology", "--quick", "--quiet", "--threads", 1, "--json")
    asked = ("--model", "30-20-5", "--topology", "rigl:update_every=5", "--group", "1,4")
    result = run(*args, *asked)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["topology"]["results"]
    assert [(f["sizes"], f["group"]) for f in found] == [([30, 20, 5], 1), ([30, 20, 5], 4)]
    args += ("--model", "30-20-5")
    refused = (
        ("--model", "vgg-d"), ("--model", "30"), ("--topology", "static"), ("--topology", "sot"),
        ("--topology", "set:update_every=9999"),
    )  # fmt: skip
    for wrong in refused:
        result = run(*args, *wrong)
        assert result.exit_code == 2
        assert len(result.stderr.strip().splitlines()) == 1
