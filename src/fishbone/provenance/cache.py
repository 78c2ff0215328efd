"""Files out of DVC's cache, each whole and with the hash asked for, or not at all."""

import shutil
from pathlib import Path

from fishbone.files import replacing
from fishbone.provenance.lock import md5


def restore(wanted: dict[str, str], root: Path = Path()) -> list[str]:
    """Take files (path → MD5) out of DVC's cache, each whole or not at all; returns those that were there.

    Their time is that of now, so that Snakemake compares what was made of the former content.
    """
    from fishbone.provenance.dvc_calls import cached  # here, as DVC takes a second

    return [path for path, source in cached(wanted, root).items() if copied(source, root / path, wanted[path])]


def copied(source: Path, target: Path, value: str) -> bool:
    """Whether ``source`` is a file of this MD5; its content is then in ``target``."""
    if not source.is_file() or md5(source) != value:
        return False
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
    return True
