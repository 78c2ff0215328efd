"""Ending a program from outside: by default SIGTERM leaves children running and temporary files behind."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise SystemExit in the main thread, as Ctrl-C raises KeyboardInterrupt.

    So every ``finally`` runs. A second one is not heard, lest it interrupt the clean-up; one that was ignored before
    (nohup) still is.
    """
    heard = [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_DFL]

    def end(number: int, _frame: object) -> None:
        for each in heard:
            signal.signal(each, lambda *_: None)  # not SIG_IGN, which children would inherit
        raise SystemExit(128 + number)

    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)
