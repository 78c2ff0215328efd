"""What has to fit between the blocks of a study: inputs that some stage makes, and names that mean something.

Each block by itself is checked by its stage's ``Plan``. Blocks of stages that the study does not run are left alone:
an overlay inherits them from ``params.yaml``.
"""

from collections.abc import Callable, Collection, Mapping

from fishbone.errors import InputError
from fishbone.export.names import NetworkName, parse_name

Place = Callable[[tuple[str, ...]], str]  # key → the file that holds its value

NEEDS = {
    "train": ("prepare",),
    "prune": ("prepare", "train"),
    "federate": ("prepare",),
    "gan": ("prepare", "train"),  # its images are judged in the features of a trained network
    "export": ("prepare", "train"),
    "bench": ("prepare", "export"),
    "report": ("prepare",),
}
AMONG = (  # values of the first key are among those of the second
    ("prepare.datasets", "prepare.sources"),
    ("train.datasets", "prepare.datasets"),
    ("prune.datasets", "train.datasets"),
    ("prune.seeds", "train.seeds"),
    ("federate.datasets", "prepare.datasets"),
    ("gan.datasets", "train.datasets"),
    ("export.datasets", "train.datasets"),
    ("export.seed", "train.seeds"),
)
OF_PRUNED = (
    ("export.datasets", "prune.datasets"),
    ("export.seed", "prune.seeds"),
    ("export.sparsities", "prune.sparsities"),
)


def crosscheck(study: Mapping, place: Place, devices: Collection[str]) -> None:
    """Check a study whose blocks are right each by itself.

    Args:
        study: ``stages`` and one block a stage.
        place: the file to blame for a key.
        devices: names in ``devices.yaml``; read only if the study benches.

    Raises:
        InputError: names file, key, value and remedy.
    """
    stages = study["stages"]
    for stage in stages:
        _needs(stage, NEEDS.get(stage, ()), stages, place)
    pruned = "export" in stages and study["export"]["sparsities"]
    if pruned:
        remedy = "Add prune to the stages, or let export.sparsities be []."
        _needs("export of pruned networks", ("prune",), stages, place, remedy)
    for key, known in (*AMONG, *(OF_PRUNED if pruned else ())):
        if key.split(".")[0] in stages:
            _among(study, key, _values(study, known), known, place)
    if "export" in stages:
        _among(study, "export.int8.networks", networks(study), "the exported networks", place)
    if "bench" in stages:
        _among(study, "bench.devices", devices, "devices.yaml", place)


def networks(study: Mapping) -> list[str]:
    """Exported networks before int8: ``dense``, ``METHOD-SPARSITY`` and ``channels-FRACTION``."""
    block = study["export"]
    pruned = [NetworkName(method, share) for method in study["prune"]["methods"] for share in block["sparsities"]]
    smaller = [NetworkName("channels", fraction) for fraction in block["channel_fractions"]]
    return [str(name) for name in (NetworkName("dense"), *pruned, *smaller)]


def variants(study: Mapping) -> list[str]:
    """All exported files of a data set: `networks`, then those of them in int8."""
    block = study["export"]["int8"]
    quantised = [parse_name(name)._replace(int8=kind) for name in block["networks"] for kind in block["activations"]]
    return [*networks(study), *map(str, quantised)]


def _needs(what: str, needed: tuple[str, ...], stages: list[str], place: Place, remedy: str | None = None) -> None:
    missing = [stage for stage in needed if stage not in stages]
    if missing:
        problem = f"{what} needs what {' and '.join(missing)} makes"
        remedy = remedy or f"Add {' and '.join(missing)} to the stages, or leave {what} out."
        raise InputError(problem, file=place(("stages",)), field="stages", value=stages, remedy=remedy)


def _among(study: Mapping, key: str, known: Collection, where: str, place: Place) -> None:
    unknown = [value for value in _values(study, key) if value not in known]
    if unknown:
        remedy = f"Take of {', '.join(map(str, known))}, or add it to {where}."
        file = place(tuple(key.split(".")))
        raise InputError(f"not among {where}", file=file, field=key, value=unknown[0], remedy=remedy)


def _values(study: Mapping, key: str) -> Collection:
    """A list as it is, the keys of a mapping, one value as a list."""
    value = study
    for part in key.split("."):
        value = value[part]
    return value if isinstance(value, (list, dict)) else [value]
