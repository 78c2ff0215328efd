"""Parameters of the stage `export`."""

from typing import Annotated

from pydantic import Field

from fishbone.export.int8 import SUITS, Int8Kind
from fishbone.fields import Distinct, Fraction, Name, Seed, Threads
from fishbone.parameters import Block


class Channels(Block):
    """Smaller dense networks: whole channels inside the blocks are pruned by FLS."""

    images: int = Field(description="training images for curvature and batch norms", ge=8)
    gammas: Distinct[Annotated[float, Field(gt=0)]] = Field(
        description="dampings to choose from on the validation split", min_length=1
    )
    padding: int = Field(description="random crops of these images shift by up to this; as in training", ge=0)
    flip: bool = Field(description="mirror these images at random; as in training")


class Params(Block):
    """What one job needs to know."""

    opset: int = Field(description="ONNX operator set; 18 to 23 are what PyTorch 2.13 can export", ge=18, le=23)
    parity_images: int = Field(description="validation images on which PyTorch and the file must agree", ge=1)
    calibration_images: int = Field(description="training images on which int8 ranges are measured", ge=1)
    channels: Channels
    licence: str = Field(description="of the weights, as an SPDX identifier; goes into the file", min_length=1)
    threads: Threads = Field(description="threads of one job")


class Int8(Block):
    """Which networks are quantised, and how."""

    activations: Distinct[Int8Kind] = Field(description=SUITS)
    networks: Distinct[Name] = Field(description="which of the exported networks: dense, or METHOD-SPARSITY")


class Plan(Params):
    """What a study exports."""

    datasets: Distinct[Name] = Field(description="data sets whose networks are exported", min_length=1)
    sparsities: Distinct[Fraction] = Field(
        description="of each pruning method's networks, out of those that `prune` makes; dense is always exported"
    )
    seed: Seed = Field(description="of the run whose networks are exported")
    channel_fractions: Distinct[Fraction] = Field(
        description="of the channels inside the dense network's blocks, to remove"
    )
    int8: Int8
