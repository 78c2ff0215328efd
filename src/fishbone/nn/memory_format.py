"""The memory format in which a network and its images are faster and still right.

Channels innermost (channels_last) makes convolutions faster on CPUs. oneDNN's backward pass of a strided 1x1
convolution in that format writes past its workspace where the layer reads fewer channels than its kernel's block has,
8 with AVX2 and 16 with AVX-512 (uxlfoundation/oneDNN#6035): a crash, or wrong gradients without one. Networks with such
a layer stay plain, on every processor, so that they have the same bits wherever the processor has the same kernels.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

BLOCK = 16  # channels


def memory_format(model: nn.Module) -> torch.memory_format:
    """``channels_last``, or ``contiguous_format`` where some layer of ``model`` would be wrong in it."""
    safe = all(_safe(module) for module in model.modules() if isinstance(module, _ConvNd))
    return torch.channels_last if safe else torch.contiguous_format


def arranged(images: Tensor, model: nn.Module) -> Tensor:
    """The same images in the network's format; what is not (B, C, H, W) is left as it is.

    Images of a plain network get plain strides: torch takes (H·W, 1, W, 1) of a single channel for channels_last.
    """
    return images.to(memory_format=memory_format(model)) if images.ndim == 4 else images


def _safe(layer: _ConvNd) -> bool:
    # The backward pass of a transposed convolution reads what the layer writes.
    read = layer.out_channels if layer.transposed else layer.in_channels
    return read // layer.groups >= BLOCK or set(layer.kernel_size) != {1} or set(layer.stride) == {1}
