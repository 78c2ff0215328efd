"""For tests of protocols: a carrier with faults, a clock that a test sets, and whether a policy is complete."""

from fishbone.wire.testing.complete import check_complete, rules_used
from fishbone.wire.testing.faulty import FakeClock, Fault, Faulty

__all__ = ["FakeClock", "Fault", "Faulty", "check_complete", "rules_used"]
