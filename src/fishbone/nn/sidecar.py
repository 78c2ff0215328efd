"""The sidecar: ``NAME.json`` beside ``NAME.safetensors``, what a person and the next stage must know of the weights."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from fishbone.data.dataset import Dataset
from fishbone.errors import InputError
from fishbone.files import read_json, write_json

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class TrainedOn(BaseModel):
    """The data set that a network was trained on: its ``name`` and the ``sha256`` of its file."""

    model_config = STRICT

    name: str
    sha256: str


class Sidecar(BaseModel):
    """What a file of weights is: from the two files alone the network can be built and fed; nothing is unpickled.

    Args:
        architecture: ``{"name": one of fishbone.nn.models.ARCHITECTURES, **its keyword arguments}``.
        data: the data set that it was trained on.
        parent: SHA-256 of the file that the weights came from; None where they were trained from drawn ones.
        mean, std: by channel; its inputs are pixels scaled to [0, 1], less the mean, over the standard deviation.
        class_names: of the network's outputs, in their order.
        sparsities: of the networks in a file that holds several; None in a file of one network.
    """

    model_config = STRICT

    architecture: dict[str, str | int | list[int]]
    data: TrainedOn
    parent: str | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    sparsities: tuple[float, ...] | None = None

    @classmethod
    def of(cls, architecture: dict[str, Any], dataset: Dataset, parent: str | None = None) -> Self:
        """That of a network of this architecture, trained on this data set.

        Args:
            architecture: what the network is built from, as the class has it.
            parent: SHA-256 of the file that the weights came from; None where they were trained from drawn ones.
            dataset: that which it was trained on.
        """
        return cls(
            architecture=architecture,
            data=TrainedOn(name=dataset.name, sha256=dataset.digest),
            parent=parent,
            mean=tuple(dataset.mean.tolist()),
            std=tuple(dataset.std.tolist()),
            class_names=dataset.class_names,
        )

    def derived(self, parent: str) -> Self:
        """That of a network made of this one's, whose file has the SHA-256 ``parent``."""
        return self.model_copy(update={"parent": parent})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the JSON file ``path``.

        Raises:
            InputError: it is missing, not JSON, or not a sidecar; names the key and its value.
        """
        content = json.dumps(read_json(path))  # as JSON, whose arrays are tuples
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise _not_a_sidecar(path, error) from None

    def write(self, path: Path) -> None:
        """Write the JSON file ``path``."""
        write_json(path, self.content())

    def content(self) -> dict[str, Any]:
        """The keys of the file and their values, fit for JSON; ``sparsities`` only where there are several networks."""
        return self.model_dump(mode="json", exclude={"sparsities"} if self.sparsities is None else None)

    @property
    def normalisation(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean, std), each (C,) float32, as `fishbone.data.images.normalise` takes them."""
        return np.array(self.mean, np.float32), np.array(self.std, np.float32)

    def check_data(self, dataset: Dataset, file: Path) -> None:
        """Let pass the very data that the network was trained on; of others it may have learnt the test images.

        Args:
            dataset: that which is to be used with the network.
            file: the weights, for the message.

        Raises:
            InputError: the data are others.
        """
        if self.data.sha256 != dataset.digest:
            remedy = f"Give {self.data.name}.npz as it was then, or train again on this {dataset.name}.npz."
            raise InputError(
                "was trained on other data", file=file, field="data.sha256", value=self.data.sha256, remedy=remedy
            )


def _not_a_sidecar(path: Path, error: ValidationError) -> InputError:
    """Of the first thing that is wrong."""
    first = error.errors()[0]
    kind, field = first["type"], ".".join(map(str, first["loc"])) or None
    remedy = "Take weights and sidecar from the same run, or train again."
    if kind == "missing":
        return InputError("not a sidecar: key is missing", file=path, field=field, remedy=remedy)
    problem = "unknown key" if kind == "extra_forbidden" else first["msg"][0].lower() + first["msg"][1:]
    return InputError(f"not a sidecar: {problem}", file=path, field=field, value=first["input"], remedy=remedy)
