"""Parameters of the stage ``prepare``."""

from typing import Annotated, Literal

from pydantic import Field

from fishbone.data.names import LOCATED, NAMED
from fishbone.fields import Distinct, Name, Seed, Threads
from fishbone.parameters import Block

# Made from the tables, so that each name is written once.
KnownName = Literal[*NAMED]  # type: ignore[valid-type]  # a checker does not run the tables
Layout = Literal[*LOCATED]  # type: ignore[valid-type]  # the same


class Named(Block):
    """A source that Fishbone knows by name."""

    kind: KnownName = Field(description="the source's name")


class Located(Block):
    """Images of one's own in a common layout."""

    kind: Layout = Field(description="the layout")
    path: str = Field(min_length=1, description="file or folder, absolute or relative to a root")


Source = Annotated[Named | Located, Field(discriminator="kind")]


class Params(Block):
    """The ``prepare`` block."""

    seed: Seed = Field(description="of the splits")
    validation: float = Field(gt=0, lt=1, description="fraction of the training split")
    test: float = Field(gt=0, lt=1, description="fraction of all samples, where there is no official test split")
    root: str | None = Field(description="folder or mirror URL searched for raw files; FISHBONE_DATA goes before it")
    threads: Threads = Field(description="images decoded at once")
    sources: dict[Name, Source] = Field(min_length=1, description="data set name → its source")


class Plan(Params):
    """What the workflow prepares."""

    datasets: Distinct[Name] = Field(min_length=1, description="which of the sources to prepare")
