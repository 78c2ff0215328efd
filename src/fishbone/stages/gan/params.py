"""Parameters of the stage ``gan``."""

from typing import Annotated, Literal

from pydantic import Field

from fishbone.data.names import PARTITION
from fishbone.fields import Distinct, Name, Seed, Threads
from fishbone.parameters import Block


class DeviceCapacity(Block):
    """A device of a user, to which layers may be given."""

    speed: float = Field(description="multiply-accumulates a second", gt=0)
    memory: int = Field(description="bytes for weights, gradients, Adam's moments and activations", ge=1)


class LearningRates(Block):
    """Adam's; one pair for each method, tuned on the validation split with the same grid."""

    generator: float = Field(description="of the generator", gt=0)
    discriminator: float = Field(description="of the discriminators", gt=0)


class MethodRates(Block):
    """Learning rates of each method."""

    fsl_gan: LearningRates
    centralised: LearningRates


METHODS = tuple(MethodRates.model_fields)  # those of `fishbone.gan.methods`
MethodName = Literal[METHODS]  # type: ignore[valid-type]  # made from the rates, so that each name is written once


class Params(Block):
    """What one job is given."""

    users: list[Annotated[list[DeviceCapacity], Field(min_length=1)]] = Field(
        description="devices of each user, the one that owns the images first; fsl_gan only", min_length=1
    )
    partition: str = Field(
        description="of images over users: iid, shards-N, dirichlet-ALPHA or quantity-ALPHA; fsl_gan only",
        pattern=PARTITION,
    )
    width: int = Field(description="channels of the first discriminator block; the paper's network has 64", ge=1)
    latent: int = Field(description="length of the noise vector; the paper's is 100", ge=1)
    dropout: float = Field(description="of the discriminators; the paper's is 0.3", ge=0, lt=1)
    batch: int = Field(description="real images in a step over all users, and as many generated", ge=2)
    rounds: int = Field(description="aggregations; the validation split is measured after each", ge=1)
    steps: int = Field(description="of a round; an update of every discriminator and of the generator a step", ge=1)
    learning_rate: MethodRates
    beta1: float = Field(description="Adam's decay of the first moment", ge=0, lt=1)
    samples: int = Field(description="images that are compared with the test split at the end", ge=64)
    validation_samples: int = Field(description="images that are compared with the validation split", ge=2)
    threads: Threads = Field(description="threads of one job; other numbers give other last bits")


class Plan(Params):
    """What the study runs."""

    datasets: Distinct[Name] = Field(description="data sets that `prepare` makes", min_length=1)
    methods: Distinct[MethodName] = Field(description="what to compare", min_length=1)
    seeds: Distinct[Seed] = Field(description="one run each: partition, weights, order and noise", min_length=1)
