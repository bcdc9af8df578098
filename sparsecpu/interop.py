"""Exchange with other frameworks: PyTorch, safetensors, NumPy and SciPy."""

from sparsecpu.files.interop.exporting import export_network, of_network
from sparsecpu.files.interop.importing import import_network
from sparsecpu.files.interop.names import ImportReport
from sparsecpu.files.interop.opening import open_tensors
from sparsecpu.files.interop.timm_vit import vit_from_timm, vit_to_timm
from sparsecpu.files.interop.torch_modules import MODULES, to_torch, torch_network

__all__ = [
    "MODULES",
    "ImportReport",
    "export_network",
    "import_network",
    "of_network",
    "open_tensors",
    "to_torch",
    "torch_network",
    "vit_from_timm",
    "vit_to_timm",
]
