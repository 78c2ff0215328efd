"""Parameters of ``fishbone federate``."""

import re
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from fishbone.data.names import PARTITION
from fishbone.errors import InputError
from fishbone.federated.names import MIX, mix
from fishbone.fields import Distinct, Name, Seed, Threads
from fishbone.parameters import Block


class LearningRates(Block):
    """Of local SGD, one per method: each is tuned on the validation split."""

    hovefl: float = Field(description="of devices and groups", gt=0)
    fedavg: float = Field(description="of devices", gt=0)
    centralised: float = Field(description="of the one machine", gt=0)


METHODS = tuple(LearningRates.model_fields)  # those of `fishbone.federated.methods`
METHOD = f"^({'|'.join(MIX if name == 'hovefl' else name for name in METHODS)})$"
KNOWN = ", ".join("hovefl-H-V (H horizontal devices, V vertical groups)" if n == "hovefl" else n for n in METHODS)


class Params(Block):
    """What one job is given."""

    members: int = Field(description="horizontal devices plus vertical groups, the same for every method", ge=1)
    parties: int = Field(description="parties of a vertical group, one part of the image each", ge=1)
    horizontal_partition: str = Field(
        description="of samples over horizontal devices: iid, shards-N, dirichlet-ALPHA or quantity-ALPHA",
        pattern=PARTITION,
    )
    vertical_partition: str = Field(description="of samples over vertical groups, likewise", pattern=PARTITION)
    embedding: int = Field(description="floats that a party sends per image", ge=1)
    hidden: int = Field(description="width of the top network", ge=1)
    rounds: int = Field(description="aggregations", ge=1)
    local_epochs: int = Field(description="passes over a member's samples in a round", ge=1)
    batch: int = Field(description="images in a step", ge=1)
    learning_rate: LearningRates
    server_learning_rate: Literal["constant", "harmonic"] = Field(
        description="constant: 1; harmonic: 1/round, what HoVeFL's published code computes"
    )
    threads: Threads = Field(description="threads of one job; other numbers give other last bits")


class Plan(Params):
    """What the study runs: a job for each data set, method and seed."""

    datasets: Distinct[Name] = Field(description="data sets that `prepare` makes", min_length=1)
    methods: Distinct[Annotated[str, Field(pattern=METHOD)]] = Field(description=KNOWN, min_length=1)
    seeds: Distinct[Seed] = Field(description="one run each: partition, initial weights and order", min_length=1)

    @field_validator("methods")
    @classmethod
    def _same_number_of_members(cls, methods: list[str], block: ValidationInfo) -> list[str]:
        members = block.data.get("members")
        for method in methods:
            if members and (counts := mix(method)) and sum(counts) != members:
                raise ValueError(f"{method} should have as many members as `members`, {members}")
        return methods


def check_method(method: str, params: Params) -> None:
    """Let a method pass that there is, and that has as many members as the others.

    Raises:
        InputError: it is not one of these.
    """
    if not re.match(METHOD, method):
        remedy = f"Give {KNOWN}."
        raise InputError("no such method", field="--method", value=method, remedy=remedy)
    if (counts := mix(method)) and sum(counts) != params.members:
        remedy = f"Let devices and groups add up to the parameter `members`, {params.members}."
        raise InputError("wrong number of members", field="--method", value=method, remedy=remedy)
