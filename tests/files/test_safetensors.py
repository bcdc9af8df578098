"""Files of safetensors: honest ones of every type, and those that lie."""

import json
import tracemalloc

import numpy as np
import pytest

from sparsecpu.errors import FileFormatError
from sparsecpu.files.interop.safetensors import read_safetensors
from sparsecpu.interop import import_network
from sparsecpu.networks.description import mlp


def table(entries, length=None):
    text = json.dumps(entries).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text


GOOD = {"0.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "0.bias": {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]}}  # fmt: skip


def changed(name, **values):
    return {**GOOD, name: {**GOOD[name], **values}}


@pytest.mark.parametrize(
    "content",
    {
        "empty": b"",
        "length beyond the file": table(GOOD, 1 << 40) + bytes(32),
        "no json": (4).to_bytes(8, "little") + b"{{{{" + bytes(32),
        "deep json": (200_000).to_bytes(8, "little") + b"[" * 200_000,
        "a list": table([1, 2]) + bytes(32),
        "cut off": table(GOOD) + bytes(31),
        "bytes to spare": table(GOOD) + bytes(33),
        "lying shape": table(changed("0.weight", shape=[200, 300])) + bytes(32),
        "negative shape": table(changed("0.weight", shape=[-2, -3])) + bytes(32),
        "overlap": table(changed("0.bias", data_offsets=[16, 24])) + bytes(24),
        "gap": table(changed("0.bias", data_offsets=[28, 36])) + bytes(36),
        "backwards": table(changed("0.bias", data_offsets=[32, 24])) + bytes(32),
        "unknown type": table(changed("0.bias", dtype="F5")) + bytes(32),
        "no entry": table({**GOOD, "0.bias": 3}) + bytes(32),
        "metadata": table({**GOOD, "__metadata__": 3}) + bytes(32),
        "NaN": table(GOOD) + np.full(8, np.nan, "<f4").tobytes(),
        "infinity": table(GOOD) + np.array([1] * 7 + [np.inf], "<f4").tobytes(),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_safetensors_that_lie(content, tmp_path):
    path = tmp_path / "it.safetensors"
    path.write_bytes(content[1])
    tracemalloc.start()
    with pytest.raises(FileFormatError):
        import_network(path, mlp(3, (), 2))
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


def test_safetensors_in_every_type(tmp_path):
    values = np.array([0, 1, -2, 3], dtype=np.float32)
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I8": "|i1"}
    for kind, dtype in kinds.items():
        raw = values.astype(dtype).tobytes()
        entry = {"dtype": kind, "shape": [2, 2], "data_offsets": [0, len(raw)]}
        (tmp_path / "it.safetensors").write_bytes(table({"w": entry}) + raw)
        found = read_safetensors(tmp_path / "it.safetensors")[0]["w"]
        np.testing.assert_array_equal(found.values(), values)
    raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    entry = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}
    (tmp_path / "it.safetensors").write_bytes(table({"w": entry}) + raw)
    found = read_safetensors(tmp_path / "it.safetensors")[0]["w"]
    np.testing.assert_array_equal(found.values(), values)
