import pytest
import torch
from torch import nn

from fishbone.curvature.layout import Layout


class Mixed(nn.Module):
    """Strides, padding, dilation, groups, 1x1, bias, batch norm, an in-place ReLU and a layer called twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.grouped = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=2)
        self.dilated = nn.Conv2d(4, 3, (3, 2), padding=(2, 1), dilation=(2, 1))
        self.point = nn.Conv2d(3, 3, 1, padding="same", padding_mode="circular")
        self.hidden = nn.Linear(3, 3)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = nn.functional.relu(self.grouped(x), inplace=True)
        x = self.point(self.dilated(x)).tanh().mean((2, 3))
        return self.head(self.hidden(self.hidden(x).tanh()).tanh())


@pytest.fixture
def mixed():
    """(network in float64 and eval mode, layout of all its weights, 4 images, labels)."""
    torch.manual_seed(0)
    model = Mixed().double()
    model(torch.randn(32, 2, 6, 6, dtype=torch.float64))  # running statistics other than 0 and 1
    names = tuple(f"{name}.weight" for name in ("stem", "grouped", "dilated", "point", "hidden", "head"))
    return model.eval(), Layout.of(model, names), torch.randn(4, 2, 6, 6, dtype=torch.float64), torch.arange(4) % 3
