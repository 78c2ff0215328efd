"""Facts of an ONNX file as they are written: beside an exported file, and in the results of benchmarks."""

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt


class FileFacts(BaseModel):
    """What a file is, measured on the file itself (`fishbone.export.facts`): hashes, sizes in bytes, counts.

    ``weights`` are those of kernels, ``macs`` multiply-accumulates of one input; null is "the file does not tell".
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    sha256: str
    weights_sha256: str
    graph_sha256: str
    bytes: PositiveInt
    zstd_bytes: PositiveInt
    opset: PositiveInt
    parameters: NonNegativeInt | None
    weights: NonNegativeInt | None
    nonzero: NonNegativeInt | None
    macs: NonNegativeInt | None
    sparse_macs: NonNegativeInt | None
    unknown: str | None = Field(
        None, description="why one of the five above is null", exclude_if=lambda reason: reason is None
    )
    quantised: bool
