"""ResNets for small images (He et al. 2016, arXiv 1512.03385, §4.2 and Table 1).

``depth`` 6n+2 (8, 14, 20, …) gives the CIFAR network: three groups of n basic blocks, widths w, 2w, 4w.
``depth`` 18 gives four groups of two blocks, widths w, 2w, 4w, 8w, with the CIFAR stem (3x3, stride 1).
Input (B, channels, H, W), output logits (B, classes).
"""

from torch import Tensor, nn
from torch.nn import functional as F

from fishbone.errors import ArgumentError


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; 1x1 projection where the shape changes (option B).

    Args:
        inputs, outputs: channels that go in and come out.
        stride: of the first convolution and of the projection.
    """

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """A ResNet for small images; `features` is what its last layer reads.

    Args:
        depth: number of layers with weights, 18 or 6n+2.
        width: channels of the first group.
        channels: of the images: 1 grey, 3 colours.
        classes: how many logits there are.
    """

    def __init__(self, depth: int, width: int, channels: int, classes: int):
        super().__init__()
        blocks = layout(depth)
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        layers, inputs = [], width
        for group, count in enumerate(blocks):
            for block in range(count):
                outputs = width * 2**group
                layers.append(BasicBlock(inputs, outputs, 2 if group and block == 0 else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs, classes)

    def features(self, x: Tensor) -> Tensor:
        """Globally pooled activations (B, d) before the last layer."""
        maps: Tensor = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return maps.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.fc(self.features(x))
        return logits


def layout(depth: int) -> tuple[int, ...]:
    """Blocks in each group.

    Args:
        depth: number of layers with weights, 18 or 6n+2.

    Raises:
        ArgumentError: the depth is neither 18 nor 6n+2.
    """
    if depth == 18:
        return (2, 2, 2, 2)
    if depth < 8 or (depth - 2) % 6:
        raise ArgumentError(f"depth must be 18 or 6n+2 (8, 14, 20, 26, 32, 44, 56, …), not {depth}")
    return ((depth - 2) // 6,) * 3
