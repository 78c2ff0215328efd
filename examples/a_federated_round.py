"""Federated rounds as in HoVeFL: four devices hold whole images, two groups of parties hold halves of theirs."""

import torch
from sklearn.datasets import load_digits

from fishbone.federated import Federation, HoVeFL, LocalWork, assign, in_process
from fishbone.nn import Optimiser, build

digits = load_digits()
images, labels = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(digits.target)
architecture = {"name": "two_branch", "shape": [1, 8, 8], "classes": 10, "embedding": 32, "hidden": 64, "parties": 2}
model = build(architecture, seed=0)

roles = assign(
    digits.target[:1400], horizontal=4, vertical=2, parties=2, seed=0,
    horizontal_partition="shards-4", vertical_partition="iid",
)  # fmt: skip
engine = in_process(roles, model, images[:1400], labels[:1400])
work = LocalWork(seed=0, epochs=2, batch=32, optimiser=Optimiser("sgd", learning_rate=0.2))
federation = Federation(roles, engine, HoVeFL(), work)

state = federation.start(model.state_dict())
for number in range(1, 9):
    result = federation.round(number, state)
    state = result.state
    model.load_state_dict(state.weights)
    with torch.no_grad():
        accuracy = (model(images[1400:]).argmax(1) == labels[1400:]).double().mean()
    sent = (result.counts.bytes_horizontal + result.counts.bytes_vertical) / 1e6
    print(f"round {number}: train loss {result.train_loss:.3f}, test accuracy {accuracy:.3f}, {sent:.2f} MB sent")
