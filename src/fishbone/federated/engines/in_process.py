"""All devices in this process, each with what it may hold and nothing else."""

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from fishbone.federated.devices.horizontal import HorizontalDevice
from fishbone.federated.devices.label_holder import LabelHolder
from fishbone.federated.devices.party import Party
from fishbone.federated.engines.engine import Engine
from fishbone.federated.messages import POLICY, SERVER
from fishbone.federated.methods import METHODS
from fishbone.federated.methods.protocol import Method
from fishbone.federated.roles import HorizontalRole, Role, VerticalRole
from fishbone.nn.two_branch import TwoBranch, columns
from fishbone.wire.memory import Memory, Observer
from fishbone.wire.policy import Policy
from fishbone.wire.traffic import Traffic

Methods = Mapping[str, type[Method]]
Carrier = Callable[[Policy, Sequence[Observer]], Memory]


def in_process(
    roles: Sequence[Role],
    model: TwoBranch,
    inputs: Tensor,
    labels: Tensor,
    *,
    methods: Methods = METHODS,
    carrier: Carrier = Memory,
) -> Engine:
    """Deal the training split to devices of this process.

    Args:
        roles: who gets which samples.
        model: the network; each device gets the part that it trains.
        inputs: (N, C, H, W) float images.
        labels: (N,) int64 classes of these images.
        methods: those that the devices know.
        carrier: makes what carries the messages; others alter or note them on the way.
    """
    traffic = Traffic()
    memory = carrier(POLICY, [traffic])
    for role in roles:
        samples = torch.from_numpy(role.samples)
        match role:
            case HorizontalRole():
                device = HorizontalDevice(role.id, copy.deepcopy(model), "", methods, inputs[samples], labels[samples])
                memory.attach(role.id, device)
            case VerticalRole():
                _attach_group(memory, role, model, inputs[samples], labels[samples], methods)
    return Engine(memory.link(SERVER, SERVER), traffic, memory, memory.clock)


def one_machine(role: HorizontalRole, model: TwoBranch, inputs: Tensor, labels: Tensor) -> Engine:
    """One member at the server's own machine: nothing crosses, so nothing is counted.

    Args:
        role: the one member, which has all samples.
        model: the network; it is copied.
        inputs: (N, C, H, W) float images.
        labels: (N,) int64 classes of these images.
    """
    memory = Memory(POLICY)
    memory.attach(role.id, HorizontalDevice(role.id, copy.deepcopy(model), "", METHODS, inputs, labels))
    return Engine(memory.link(SERVER, SERVER), Traffic(), memory, memory.clock)


def _attach_group(
    memory: Memory, role: VerticalRole, model: TwoBranch, inputs: Tensor, labels: Tensor, methods: Methods
) -> None:
    shapes = []
    for bottom, address, part in zip(model.bottoms, role.parties, columns(inputs, len(role.parties)), strict=True):
        # A copy: a slice would keep the other parties' columns in the party's memory.
        part = part.clone(memory_format=torch.contiguous_format)
        party = Party(address, copy.deepcopy(bottom), role.parts[address], methods, role.id, role.label_holder, part)
        memory.attach(address, party)
        shapes.append(_embedding_shape(bottom, part))
    holder = LabelHolder(
        role.label_holder, copy.deepcopy(model.top), role.parts[role.label_holder], methods, role.id, labels,
        role.parties, tuple(shapes), memory.clock,
    )  # fmt: skip
    memory.attach(role.label_holder, holder)


def _embedding_shape(bottom: nn.Module, inputs: Tensor) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(copy.deepcopy(bottom).eval()(inputs[:1]).shape[1:])
