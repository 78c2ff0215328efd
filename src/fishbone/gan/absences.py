"""Users that were left out of the rest of a round, and what that means for those who wanted a result.

A round goes on without them. If nobody is left, it has failed. A study is stricter: all its parties are in one process,
so one that failed is a mistake in the program, and one that diverged is a learning rate that is too high.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fishbone.errors import DivergedError, Failed, FishboneError, InputError, Rejected

SPOILT = (DivergedError.status, Rejected.status)  # what a learning rate that is too high makes of all users


@dataclass(frozen=True)
class Absence:
    """A user was left out of the rest of a round.

    Args:
        round: the round's number, from 1.
        step: over all rounds from 0; None where it was before the first or after the last step.
        user: the name of the user.
        status: that of the `LinkError`.
        reason: the text of the error.
    """

    round: int
    step: int | None
    user: str
    status: str
    reason: str


def nobody_left(absences: Sequence[Absence], field: str) -> FishboneError:
    """The error of a round that no user finished.

    Args:
        absences: those of all users in this round, at least one.
        field: the parameter to blame if all users came to numbers that cannot be used.
    """
    if found := _first(absences, DivergedError.status) if _all_spoilt(absences) else None:
        return _divergence(found, field)
    first = absences[0]
    problem = f"round {first.round}: no user is left; of the first, {first.user}, {first.status}: {first.reason}"
    return InputError(problem, field=field, remedy="Lower it.") if _all_spoilt(absences) else FishboneError(problem)


def require_sound(absences: Sequence[Absence], field: str) -> None:
    """Let a study go on after a round.

    Args:
        absences: those that this round added; none where all users took part.
        field: the parameter to blame for a divergence.

    Raises:
        InputError: a user diverged.
        FishboneError: a user failed.
    """
    if found := _first(absences, DivergedError.status):
        raise _divergence(found, field)
    if found := _first(absences, Failed.status):
        raise FishboneError(f"round {found.round}: {found.user} failed: {found.reason}")


def _all_spoilt(absences: Sequence[Absence]) -> bool:
    return all(absence.status in SPOILT for absence in absences)


def _first(absences: Sequence[Absence], status: str) -> Absence | None:
    return next((absence for absence in absences if absence.status == status), None)


def _divergence(absence: Absence, field: str) -> InputError:
    return InputError(absence.reason, field=field, remedy="Lower it.")
