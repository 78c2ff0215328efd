"""The three things that Fishbone asks of DVC.

Imported late: DVC takes a second, and most verbs do without.
"""

from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import dumps_yaml, load_yaml
from dvc_data.hashfile.hash_info import HashInfo

from fishbone.errors import InputError
from fishbone.files import write_text
from fishbone.provenance.lock import folder
from fishbone.provenance.publish import REMOTE


def cached(wanted: dict[str, str], root: Path = Path()) -> dict[str, Path]:
    """Where DVC's cache keeps files (path → MD5), if it has them."""
    with Repo(str(root), config={"core": {"no_scm": True}}) as repo:
        places = {path: Path(repo.cache.local.oid_to_path(value)) for path, value in wanted.items()}
    return {path: place for path, place in places.items() if place.is_file()}


def fetch(md5s: set[str], remote: str | None, root: Path) -> None:
    """Bring objects into DVC's cache, as far as the remotes have them."""
    with Repo(str(root), config={"core": {"no_scm": True}}) as repo:
        known = repo.config["remote"]
        if remote and remote not in known:
            remedy = f"Take one of {', '.join(known)}, or add it with `dvc remote add`."
            raise InputError("no such remote", field="--remote", value=remote, remedy=remedy)
        default = repo.config["core"].get("remote")
        for name in [remote] if remote else dict.fromkeys(filter(None, (REMOTE, default))):
            try:
                odb = repo.cloud.get_remote_odb(name)
                repo.cloud.pull({HashInfo("md5", value) for value in odb.oids_exist(md5s)}, odb=odb)
            except (DvcException, OSError) as error:
                remedy = "Look at `dvc remote list`, or name another one with --remote."
                reason = " ".join(str(error).split())
                raise InputError(f"cannot be read: {reason}", field=f"remote {name}", remedy=remedy) from None


def commit(study: str, rules: set[str], root: Path) -> None:
    """What ``dvc commit --force`` does, but dvc.lock is read and written once, not for every stage: minutes less."""
    place = folder(study, root)
    path = place / "dvc.lock"
    # Without git, which DVC would ask about each output whether it is ignored, and which an archive has not.
    try:
        with Repo(str(root), config={"core": {"no_scm": True}}) as repo, lock_repo(repo):
            lock = {"schema": "2.0", "stages": {}} | (load_yaml(path) if path.is_file() else {})
            for stage in repo.stage.load_all(str(place / "dvc.yaml")):
                if stage.name in rules:
                    stage.save()
                    stage.commit()
                    lock["stages"].update(to_lockfile(stage))
            write_text(path, dumps_yaml(lock))
    except DvcException as error:
        remedy = f"Mend that and run `fishbone record --study {study}`; the results are here."
        raise InputError(f"DVC says: {' '.join(str(error).split())}", file=path, remedy=remedy) from None
