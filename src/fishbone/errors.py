"""The one exception for wrong input; the command line turns it into exit code 2."""


class InputError(Exception):
    """Input that a person can mend. The message names file, field, value and remedy.

    Args:
        problem: what is wrong, in one sentence without a full stop.
        file: the file that holds the wrong value.
        field: the key, column or option.
        value: the offending value; shown with ``repr``.
        remedy: what to do about it, as a sentence.
    """

    def __init__(self, problem: str, *, file=None, field=None, value=..., remedy: str):
        place = ": ".join(str(part) for part in (file, field) if part is not None)
        shown = "" if value is ... else f" (got {value!r})"
        super().__init__(f"{place + ': ' if place else ''}{problem}{shown}. {remedy}")
