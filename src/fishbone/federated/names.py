"""Names of federated methods. ``hovefl-H-V`` says its mix: H horizontal devices and V vertical groups.

This module is light: parameters of the stage and the report read names with it.
"""

import re

MIX = r"hovefl-(0|[1-9][0-9]*)-(0|[1-9][0-9]*)"


def mix(method: str) -> tuple[int, int] | None:
    """The mix that a method's name says: (horizontal devices, vertical groups); None where it says none.

    >>> mix("hovefl-12-6"), mix("fedavg")
    ((12, 6), None)
    """
    found = re.fullmatch(MIX, method)
    return (int(found[1]), int(found[2])) if found else None


def family(method: str) -> str:
    """The method without its mix, which is its name in `fishbone.federated.methods.METHODS`.

    >>> family("hovefl-12-6"), family("fedavg")
    ('hovefl', 'fedavg')
    """
    return "hovefl" if mix(method) else method
