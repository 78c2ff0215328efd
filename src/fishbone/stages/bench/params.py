"""Parameters of the stage `bench`."""

from pydantic import Field

from fishbone.fields import Distinct, Name, Seed, Threads
from fishbone.parameters import Block


class Params(Block):
    """How one device measures; `fishbone.bench.procedure.Procedure` has the values for people."""

    threads: Threads = Field(description="threads of ONNX Runtime; a single one is pinned to a core")
    seconds: float = Field(description="seconds of interleaved warm rounds for each model", gt=0)
    sittings: int = Field(description="parts of that time; each loads all models anew", ge=1)
    block_ms: float = Field(description="milliseconds of repeated runs of a model in a round", gt=0)
    warmup_seconds: float = Field(description="seconds of warm-up for each model, at least 10 runs a sitting", ge=0)
    sustained_seconds: float = Field(
        description="seconds of the baseline alone without rest: does the device slow down? 0: none", ge=0
    )
    cold_runs: int = Field(description="fresh processes for each model", ge=0)
    images: int = Field(description="test images for accuracy, at most", ge=1)
    budget_seconds: float = Field(description="wall time for a device; then it reports what it has", gt=0)
    sparse: bool = Field(description="run models with at least half of their weights zero in the sparse runtime too")
    seed: Seed = Field(description="of the order of models, and of inputs without a data set")


class Plan(Params):
    """Where a study measures."""

    devices: Distinct[Name] = Field(description="names in devices.yaml", min_length=1)
