"""Exchange with other frameworks: PyTorch, safetensors, NumPy and SciPy."""

from sparsecpu.files.interop import (
    MODULES,
    ImportReport,
    export_network,
    import_network,
    of_network,
    open_tensors,
    to_torch,
    torch_network,
)

__all__ = [
    "MODULES",
    "ImportReport",
    "export_network",
    "import_network",
    "of_network",
    "open_tensors",
    "to_torch",
    "torch_network",
]
