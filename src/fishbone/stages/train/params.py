"""Parameters of the stage ``train``."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fishbone.fields import Distinct, Name, Seed, Threads
from fishbone.parameters import Block


def _known_depth(depth: int) -> int:
    if depth != 18 and (depth < 8 or (depth - 2) % 6):
        raise ValueError("input should be 18 or 6n+2: 8, 14, 20, 26, 32, 44, 56, …")
    return depth


class Params(Block):
    """What one job is given."""

    depth: Annotated[int, AfterValidator(_known_depth)] = Field(
        description="layers: 6n+2 (CIFAR ResNet) or 18", json_schema_extra={"anyOf": [{"const": 18}, {"minimum": 8}]}
    )
    width: int = Field(description="channels of the first group", ge=1)
    epochs: int = Field(description="passes over the training split", ge=1)
    batch: int = Field(description="images in a step", ge=2)
    learning_rate: float = Field(description="peak of the one-cycle schedule", gt=0)
    warmup: float = Field(description="fraction of the steps in which the rate rises", gt=0, lt=1)
    momentum: float = Field(description="Nesterov momentum", gt=0, lt=1)
    weight_decay: float = Field(description="L2 penalty", ge=0)
    padding: int = Field(description="random crops shift by up to this many pixels; 0: none", ge=0)
    flip: bool = Field(description="mirror images at random")
    early_epochs: int = Field(description="epochs at first that see smaller images, which cost less; 0: none", ge=0)
    early_size: int = Field(description="height and width in pixels of the images in these epochs", ge=8)
    precision: Literal["auto", "bf16", "fp32"] = Field(description="auto: bf16 where it is faster than fp32")
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto: the GPU if there is one")
    threads: Threads = Field(description="threads of one job; other numbers give other last bits")


class Plan(Params):
    """What the study runs: a job for each data set and seed."""

    datasets: Distinct[Name] = Field(description="data sets that `prepare` makes", min_length=1)
    seeds: Distinct[Seed] = Field(description="one run each: initial weights, order and augmentation", min_length=1)
