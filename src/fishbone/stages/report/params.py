"""Parameters of the stage `report`."""

from pydantic import Field

from fishbone.parameters import Block


class Params(Block):
    """What the page says, and within which margins results count as the same."""

    title: str = Field(description="heading of the page", min_length=1)
    comparable_accuracy: float = Field(description="accuracies that differ by this fraction are comparable", ge=0, lt=1)
    comparable_fcd: float = Field(description="an FCD higher by this fraction counts as the same", ge=0)


class Plan(Params):
    """A study has one report."""
