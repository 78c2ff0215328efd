"""Types of fields that parameter blocks share: names that become paths, seeds, threads, fractions in paths, sets."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

T = TypeVar("T")


def each_once(values: list[T]) -> list[T]:
    """The list as it is.

    Raises:
        ValueError: a value is there twice: it would count as two seeds or methods, and be one.
    """
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"each should be there once, and {value} is there twice")
    return values


# Part of a path, a wildcard and a word of a shell's command line: no separator, no "..", no leading "-".
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]|\.[A-Za-z0-9_-])*$", max_length=100)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
# More than any machine has is a slip; more than this one has is slow, and may be meant for another.
Threads = Annotated[int, Field(ge=1, le=1024)]
# Below, Python writes an exponent (5e-05), whose hyphen would split a network's name METHOD-SPARSITY.
Fraction = Annotated[float, Field(ge=0.0001, lt=1)]
Distinct = Annotated[list[T], Field(json_schema_extra={"uniqueItems": True}), AfterValidator(each_once)]
