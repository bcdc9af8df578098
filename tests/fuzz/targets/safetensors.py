"""Safetensors files: their tensors, and networks made of them."""

import json

import numpy as np

from sparsecpu.files.interop.safetensors import read_safetensors
from sparsecpu.interop import import_network
from sparsecpu.networks.description import mlp
from tests.fuzz.alter_bytes import alter_bytes, boundary
from tests.fuzz.alter_json import alter_json_text
from tests.fuzz.promises import check_tensors
from tests.fuzz.target import Target

_ARCHITECTURE = mlp(3, (), 2)
_KINDS = ("F64", "F32", "F16", "BF16", "I64", "I8", "U64", "BOOL", "F8_E4M3", "F4", "C64", "F99",
          "f32", "")  # fmt: skip
_TABLES = (
    {"0.weight": ("F32", (2, 3)), "0.bias": ("F32", (2,))},
    {"a": ("BF16", (2, 3)), "b": ("I64", ()), "c": ("BOOL", (5,)), "d": ("F64", (0, 4))},
    {"0.weight": ("F16", (2, 3)), "0.weight_mask": ("U8", (2, 3)), "0.bias": ("F64", (2,))},
)
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "BOOL": 1, "U8": 1}


def _described(tensors, metadata=None):
    table, end, parts = {"__metadata__": metadata} if metadata else {}, 0, []
    for name, (kind, shape) in tensors.items():
        size = int(np.prod(shape)) * _BYTES[kind]
        table[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
        parts.append(bytes(i % 64 if i % 2 else 0 for i in range(size)))
    return table, b"".join(parts)


def _content(text, values):
    return len(text).to_bytes(8, "little") + text + values


_FACTS = {"architecture": _ARCHITECTURE.to_dict(), "facts": {"task": "classification"}}
_FILES = [
    _described(_TABLES[0], {"format": "pt", "sparsecpu.json": json.dumps(_FACTS)}),
    *map(_described, _TABLES[1:]),
]


class Safetensors(Target):
    """``read_safetensors`` and ``import_network`` on a .safetensors."""

    name = "safetensors"

    def valid(self):
        return [{"it.safetensors": _content(json.dumps(table).encode(), values)}
                for table, values in _FILES]  # fmt: skip

    def case(self, rng):
        table, values = rng.choice(_FILES)
        table = json.loads(json.dumps(table))
        if rng.random() < 0.4:
            _retell(rng, table)
            text = json.dumps(table).encode()
        elif rng.random() < 0.2 and "__metadata__" in table:
            table["__metadata__"]["sparsecpu.json"] = alter_json_text(rng, _FACTS).decode("latin-1")
            text = json.dumps(table).encode()
        else:
            text = alter_json_text(rng, table)
        if rng.random() < 0.3:
            values = alter_bytes(rng, values, values)
        content = _content(text, values)
        if rng.random() < 0.2:
            content = alter_bytes(rng, content, content)
        elif rng.random() < 0.05:
            content = (boundary(rng) % (1 << 64)).to_bytes(8, "little") + content[8:]
        return {"it.safetensors": content}

    def read(self, folder):
        path = folder / "it.safetensors"
        tensors, metadata = read_safetensors(path)
        check_tensors(tensors)
        assert all(isinstance(v, str) for pair in metadata.items() for v in pair)
        if "0.weight" in tensors or metadata:
            network, report = import_network(path, None if metadata else _ARCHITECTURE)
            assert np.isfinite(network.predict(np.zeros((1, network.widths[0])))).all()
            assert str(report)


def _retell(rng, table):
    """Say another type, shape or place of a tensor that is otherwise told well."""
    name = rng.choice([name for name in table if name != "__metadata__"])
    entry, choice = table[name], rng.randrange(4)
    if choice == 0:
        entry["dtype"] = rng.choice(_KINDS)
    elif choice == 1:
        shape = entry["shape"]
        shape.insert(rng.randrange(len(shape) + 1), rng.choice((0, 1, 1, 2, boundary(rng))))
    elif choice == 2 and entry["shape"]:
        entry["shape"][rng.randrange(len(entry["shape"]))] = boundary(rng)
    else:
        entry["data_offsets"][rng.randrange(2)] += rng.choice((1, -1, 4, -4, boundary(rng)))


TARGET = Safetensors()
