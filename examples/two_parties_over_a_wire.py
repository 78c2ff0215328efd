"""Train a network that two parties share: the owner keeps images and labels, a helper has most of the layers."""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fishbone.split import Stage
from fishbone.wire import Envelope, Link, Memory, Message, Policy, Rule, Traffic


@dataclass(frozen=True, eq=False)
class Activation(Message):
    kind = "activation"
    rows: Tensor


@dataclass(frozen=True, eq=False)
class Gradient(Message):
    kind = "gradient"
    rows: Tensor


class Helper:
    """An actor; one whose state outlives this program also has `pack` and `unpack`."""

    role = "helper"

    def start(self) -> Stage:
        layers = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        return Stage(layers, torch.optim.SGD(layers.parameters(), 0.3))

    def handle(self, stage: Stage, request: Envelope, link: Link) -> tuple[Stage, Message]:
        if isinstance(request.message, Activation):
            return stage, Activation(stage.forward(request.message.rows))
        gradient = stage.backward(request.message.rows)
        stage.step()
        return stage, Gradient(gradient)


torch.manual_seed(0)
digits = load_digits()
images, labels = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
ways = ("owner", "helper"), ("helper", "owner")
memory = Memory(Policy(Rule(kind, *way) for kind in (Activation, Gradient) for way in ways), [traffic := Traffic()])
memory.attach("helper", Helper())
link = memory.link("owner", "owner")
layers = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
first = Stage(layers, torch.optim.SGD(layers.parameters(), 0.3))
for _ in range(300):
    batch = torch.randperm(1400)[:64]
    logits = link.ask("helper", Activation(first.forward(images[batch]))).rows.requires_grad_()
    nn.functional.cross_entropy(logits, labels[batch]).backward()
    first.backward(link.ask("helper", Gradient(logits.grad)).rows)
    first.step()
answers = link.ask("helper", Activation(layers(images[1400:]))).rows.argmax(1)
print(f"test accuracy {(answers == labels[1400:]).double().mean():.3f}")
print("\n".join(f"{kind}, {sender} to {receiver}: {n} bytes" for (sender, receiver, kind), n in traffic.bytes.items()))
