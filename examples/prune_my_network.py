"""Prune a network of mine to 90 %. It is trained here, and could be any with Conv2d or Linear layers."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from fishbone import Surgeon


def my_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def train(network: nn.Module, loader: DataLoader) -> None:
    optimiser = torch.optim.Adam(network.parameters(), 0.003)
    for _ in range(8):
        for images, labels in loader:
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimiser.step()
    network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    return (network(images).argmax(1) == labels).double().mean().item()


def main() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(digits.target)
    training = DataLoader(TensorDataset(images[:1400], labels[:1400]), batch_size=50, shuffle=True)
    test = images[1400:], labels[1400:]

    network = my_network()
    train(network, training)
    print(f"dense: accuracy {accuracy(network, *test):.3f}")

    pruned = Surgeon(network, training).prune(0.9)
    kept = sum(int(mask.sum()) for mask in pruned.masks.values())
    count = sum(mask.numel() for mask in pruned.masks.values())
    print(f"pruned: accuracy {accuracy(network, *test):.3f} with {kept} of {count} weights")


if __name__ == "__main__":
    main()
