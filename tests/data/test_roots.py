import gzip
import hashlib

import pytest

from fishbone.data.raw import Request
from fishbone.data.roots import OfficialFile, locate, obtain
from fishbone.errors import InputError

DATA = gzip.compress(bytes((0, 0, 8, 1, 0, 0, 0, 2, 3, 4)), mtime=0) * 50
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def file():
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    return OfficialFile("labels.gz", md5, f"{NOWHERE}/official/labels.gz")


def lay(path, data=DATA):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("place", ["mnist/labels.gz", "labels.gz"])
def test_a_mirror_is_asked_before_the_official_host(ask, mirror, file, place):
    url, served = mirror
    lay(served / place)
    path = obtain(ask("mnist", f"{url}/ok/"), file)
    assert path.read_bytes() == DATA
    assert path.parts[-3:] == ("fishbone", "mnist", "labels.gz")


def test_the_official_host_is_asked_last(ask, mirror, file, tmp_path):
    url, served = mirror
    lay(served / "labels.gz")
    official = OfficialFile(file.name, file.md5, f"{url}/ok/labels.gz")
    assert obtain(ask("mnist", tmp_path), official).read_bytes() == DATA


def test_a_downloaded_file_is_kept(ask, mirror, file):
    url, served = mirror
    lay(served / "labels.gz")
    obtain(ask("mnist", f"{url}/ok"), file)
    (served / "labels.gz").unlink()
    assert obtain(ask("mnist", NOWHERE), file).read_bytes() == DATA


def test_a_damaged_kept_file_is_downloaded_again(ask, mirror, file):
    url, served = mirror
    lay(served / "labels.gz")
    path = obtain(ask("mnist", f"{url}/ok"), file)
    path.write_bytes(DATA[:-1])
    assert obtain(ask("mnist", f"{url}/ok"), file).read_bytes() == DATA


def test_a_truncated_download_is_refused_and_not_kept(ask, mirror, file, tmp_path):
    url, served = mirror
    lay(served / "labels.gz")
    with pytest.raises(InputError, match=r"labels\.gz: not found .*/cut/labels\.gz: ChunkedEncodingError"):
        obtain(ask("mnist", f"{url}/cut"), file)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_download_with_another_hash_is_refused_and_not_kept(ask, mirror, file, tmp_path):
    url, served = mirror
    lay(served / "labels.gz", DATA[:-1])
    with pytest.raises(InputError, match=rf"/ok/labels\.gz: download is damaged: .*expected md5:{file.md5} but got"):
        obtain(ask("mnist", f"{url}/ok"), file)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_without_network_the_error_says_what_to_get_and_where_to_put_it(ask, mirror, file, tmp_path):
    with pytest.raises(InputError) as caught:
        obtain(ask("mnist", tmp_path), file)
    for part in ("labels.gz: not found", f"Get it from {file.url}", "FISHBONE_DATA", "prepare.root"):
        assert part in str(caught.value)


def test_a_local_file_goes_before_a_mirror_and_is_never_replaced(mirror, file, tmp_path):
    url, served = mirror
    lay(served / "labels.gz")
    lay(tmp_path / "mnist" / "labels.gz", DATA[:-1])
    with pytest.raises(InputError, match=r"labels\.gz: MD5: damaged, or not the official file"):
        obtain(Request("mnist", None, (f"{url}/ok", str(tmp_path)), 1), file)
    assert (tmp_path / "mnist" / "labels.gz").read_bytes() == DATA[:-1]


def test_the_first_root_that_has_a_path_wins(tmp_path):
    for name in ("a", "b"):
        lay(tmp_path / name / "mine.npz", name.encode())
    roots = (str(tmp_path / "none"), str(tmp_path / "b"), str(tmp_path / "a"))
    assert locate(Request("npz", "mine.npz", roots, 1)).read_bytes() == b"b"
    assert locate(Request("npz", str(tmp_path / "a" / "mine.npz"), (), 1)).read_bytes() == b"a"
    with pytest.raises(InputError, match=r"npz path: no such file or folder \(got 'yours.npz'\)"):
        locate(Request("npz", "yours.npz", roots, 1))
