"""All devices in this process, each with a copy of what it may hold and nothing else; and no devices at all."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from fishbone.federated.devices import HorizontalDevice, LabelHolder, Party
from fishbone.federated.local import LocalTraining, train_locally
from fishbone.federated.roles import HorizontalRole, Role, VerticalRole
from fishbone.federated.rounds import Counts, RoundResult, Weights
from fishbone.federated.transport import InProcess
from fishbone.nn.two_branch import TwoBranch, halves


def in_process(
    roles: Sequence[Role], model: TwoBranch, inputs: Tensor, labels: Tensor, local: LocalTraining
) -> InProcess:
    """Deal the training split (N, C, H, W), (N,) to devices and attach them to a transport."""
    transport = InProcess()
    for role in roles:
        samples = torch.from_numpy(role.samples)
        match role:
            case HorizontalRole():
                device = HorizontalDevice(role.id, copy.deepcopy(model), inputs[samples], labels[samples], local)
                transport.attach(role.id, device)
            case VerticalRole():
                _attach_group(transport, role, model, inputs[samples], labels[samples], local)
    return transport


def _attach_group(transport, role: VerticalRole, model: TwoBranch, inputs: Tensor, labels: Tensor, local) -> None:
    for p, (address, part) in enumerate(zip(role.parties, halves(inputs, len(role.parties)), strict=True)):
        bottom = copy.deepcopy(model.bottoms[p])
        # A copy: a slice would keep the other parties' columns in the party's memory.
        part = part.clone(memory_format=torch.contiguous_format)
        transport.attach(address, Party(address, role.id, bottom, role.parts[address], part, local))
    top = copy.deepcopy(model.top)
    holder = LabelHolder(role.label_holder, role.id, top, labels, local, role.parties, transport)
    transport.attach(role.label_holder, holder)


class Centralised:
    """The reference without federation: one machine with all samples; a round is the same local epochs there."""

    def __init__(self, model: TwoBranch, inputs: Tensor, labels: Tensor, local: LocalTraining):
        self.model, self.inputs, self.labels, self.local = copy.deepcopy(model), inputs, labels, local

    def round(self, number: int, weights: Weights) -> RoundResult:
        self.model.load_state_dict(weights)
        loss = train_locally(self.model, self.inputs, self.labels, self.local, "centralised", number)
        trained = {name: value.clone() for name, value in self.model.state_dict().items()}
        return RoundResult(trained, loss, Counts())
