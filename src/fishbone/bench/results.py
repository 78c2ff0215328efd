"""The one schema of a benchmark, whatever the kind of device.

`Measurement` is what an agent sends: raw nanoseconds and facts. `DeviceResult` is what ``fishbone bench`` writes: the
measurement, what the statistics say about it, and how it failed if it did. Its ``model_json_schema()`` is the JSON
schema. Times are in nanoseconds, memory and sizes in bytes, fractions in [0, 1]; null is "not measured".
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from fishbone.export.int8 import Int8Kind
from fishbone.export.schema import FileFacts

Status = Literal[  # of a model, or of a device that could not be measured at all
    "ok", "assumed", "no_answer", "no_accuracy", "parity_fail", "hash_mismatch", "unsupported", "skipped", "oom",
    "crashed", "timeout", "garbage_output", "not_measured", "unreachable", "auth", "no_python", "too_old", "no_runtime",
    "wrong_arch", "copy_failed",
]  # fmt: skip


Blocks = Annotated[list[list[list[NonNegativeInt]]], Field(description="single runs: [sitting][round][run]")]
Rounds = Annotated[list[list[float]], Field(description="medians of blocks: [sitting][round]")]


class Record(BaseModel):
    """A frozen record without unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Interval(Record):
    """A median with its 95 % interval."""

    median: float
    low: float
    high: float


class Limits(Record):
    """Of a constrained device; ``backend``: what enforces them."""

    backend: str | None
    cpus: list[NonNegativeInt] | None
    memory_mb: PositiveInt | None
    cpu_share: float | None


class ColdStart(Record):
    """One fresh process: importing ONNX Runtime and numpy, loading the file, the first run. In a browser: first use."""

    import_ns: NonNegativeInt
    load_ns: NonNegativeInt
    first_run_ns: NonNegativeInt
    import_rss_bytes: NonNegativeInt | None
    peak_rss_bytes: NonNegativeInt | None


class DeviceParity(Record):
    """This device's outputs against the host's unoptimised graph; ``relative`` = max |Δ| / max |reference|."""

    inputs: PositiveInt
    max_abs: float
    relative: float
    agreement: float


class Score(Record):
    """Right answers on the task's test images."""

    correct: NonNegativeInt
    images: PositiveInt
    unanswered: NonNegativeInt = Field(
        0, description="scores not finite, or a label that is no class: wrong answers", exclude_if=lambda n: n == 0
    )


class Operator(Record):
    """A kind of node in the graph that the device's optimiser left."""

    operator: str
    provider: str
    nodes: NonNegativeInt
    share: float


class Contention(Record):
    """Evidence of neighbours during the warm rounds."""

    seconds: float
    wall_over_cpu: float | None
    steal_fraction: float | None
    cpu_pressure: float | None
    involuntary_switches: NonNegativeInt | None
    load_before: float | None
    load_after: float | None


class Window(Record):
    """About ten seconds of the baseline's runs without rest; sensors at its end."""

    runs: PositiveInt
    median_ns: float
    throttle_events: NonNegativeInt | None
    celsius: float | None
    megahertz: float | None


class Environment(Record):
    """Software and hardware; no host name, user, address, path or time."""

    python: str | None
    numpy: str | None
    onnxruntime: str
    providers: list[str]
    system: str
    kernel: str | None
    machine: str
    browser: str | None
    cpu: str | None
    cpu_flags: list[str]
    cores: PositiveInt | None
    cores_used: PositiveInt | None
    governor: str | None
    memory_bytes: PositiveInt | None
    memory_limit_bytes: PositiveInt | None


class Model(Record):
    """One network on one device; what measurement and result have in common."""

    name: str
    status: Status
    message: str | None
    cold: list[ColdStart]
    parity: DeviceParity | None
    operators: list[Operator] | None


class ModelMeasurement(Model):
    """One network as the agent saw it: right answers, and every single run."""

    accuracy: Score | None
    blocks_ns: Blocks


class Measurement(Record):
    """What an agent prints between its sentinel lines. The control is the baseline, loaded a second time."""

    schema_version: Literal[1]
    agent_sha256: str
    complete: bool = Field(description="false: the wall budget ended first")
    environment: Environment
    session: dict[str, str] = Field(description="session options, the same for all models")
    contention: Contention | None
    control_blocks_ns: Blocks
    sustained: list[Window] = Field(description="empty: not asked for")
    models: list[ModelMeasurement]


class Accuracy(Score):
    """Right answers as a fraction, with Wilson's 95 % interval."""

    fraction: float
    low: float
    high: float


class Latency(Record):
    """Of single warm runs; ``p90_bound_ns``: at 99 % confidence the 90th percentile is no higher (64 samples)."""

    samples: PositiveInt
    rounds: PositiveInt
    min_ns: NonNegativeInt
    p50_ns: float
    p90_ns: float
    p90_bound_ns: float | None


class ModelResult(Model):
    """One network in one runtime. ``method``, ``sparsity`` and ``int8`` are what its file says of its origin."""

    method: str | None = Field(description="what made it: dense, channels or a pruning method; null: not known")
    sparsity: float | None = Field(
        description="what was to be removed of the weights (channels: of the channels); 0: dense; null: not known"
    )
    int8: Int8Kind | None = Field(description="its kind of int8; null: float32, or not known")
    runtime: Literal["onnxruntime", "sparse"]
    facts: FileFacts
    notes: list[str] = Field([], description="what a person should know of these numbers, besides the message")
    accuracy: Accuracy | None
    latency: Latency | None
    rounds_ns: Rounds
    speedup: Interval | None = Field(description="baseline's time over this model's, paired by round")
    predicted_ns: float | None = Field(
        description="sparse runtime: what its sparse MACs take, as the other sparse models here have it"
    )


class DeviceResult(Record):
    """One device's benchmark, as ``fishbone bench --out`` writes it.

    Durations are its content: measured data, never reproduced.
    """

    schema_version: Literal[2]
    device: str
    kind: str
    status: Status
    message: str | None
    complete: bool
    baseline: str
    data_sha256: str | None = Field(description="of the data set behind accuracy; null: random inputs")
    procedure: dict[str, bool | int | float] = Field(description="see fishbone.bench.procedure.Procedure")
    agent_sha256: str | None
    environment: Environment | None
    limits: Limits | None
    session: dict[str, str] | None
    contention: Contention | None
    noisy: bool
    disturbances: list[str]
    control_rounds_ns: Rounds
    control: Interval | None = Field(description="the baseline against itself")
    noise_floor: float | None = Field(description="largest deviation of the control's interval from 1")
    sustained: list[Window]
    drift: float | None = Field(description="of the baseline's time without rest: last quarter over first, less 1")
    models: list[ModelResult]
