"""Named networks, as functions that return descriptions."""

from sparsecpu.networks.models import (
    MODELS,
    alexnet,
    find_model,
    gpt,
    lenet5_caffe,
    lenet_300_100,
    mlp_1000_1000,
    resnet,
    vgg16,
    vit,
    wide_resnet,
)

__all__ = [
    "MODELS",
    "alexnet",
    "find_model",
    "gpt",
    "lenet5_caffe",
    "lenet_300_100",
    "mlp_1000_1000",
    "resnet",
    "vgg16",
    "vit",
    "wide_resnet",
]
