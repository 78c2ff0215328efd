"""A browser without a network to this machine: one HTML file that measures, and a JSON file that it saves.

The file holds page, onnxruntime-web, models and images, and works when opened from disk. What it saves belongs to one
task, by hash, and is read by the next run. From disk a page is not isolated: the clock is coarser than on a served one.
"""

import base64
import gzip
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

from fishbone.bench.agent import BEGIN, END
from fishbone.bench.devices.outcome import Outcome, understand
from fishbone.bench.devices.web import PAGE, NoRuntimeError, runtime, served_files
from fishbone.files import write_text

SCRIPT = '<script type="module" src="page.js"></script>'


def run_page(task_file: Path, page: Path, result: Path) -> Outcome:
    """What ``result`` holds if it was saved by this task's page; else write the page and say what to do with it."""
    todo = f"open {page} on the device, put what it saves at {result}, and run this again"
    identity = task_identity(task_file)
    try:
        document = json.loads(result.read_text(encoding="utf-8"))
        found, measurement = document["task_sha256"], document["measurement"]
    except FileNotFoundError:
        found, failure = None, Outcome("not_measured", todo)
    except (ValueError, KeyError, TypeError):
        return Outcome("garbage_output", f"{result} is not what the page saves; save it again")
    else:
        failure = Outcome("hash_mismatch", f"{result} is of other models, images or settings; {todo}")
    if found == identity:
        return understand(f"{BEGIN}\n{json.dumps(measurement)}\n{END}")
    try:
        write_text(page, page_text(task_file, identity))
    except NoRuntimeError as error:
        return Outcome("no_runtime", str(error))
    return failure


def task_identity(task_file: Path) -> str:
    """SHA-256 of settings, models and images; not of the host's outputs, whose last bits are not for ever."""
    text = task_file.read_text(encoding="utf-8")
    digest, task = hashlib.sha256(text.encode()), json.loads(text)
    for name in filter(None, (task["vectors"], task["images"])):
        with np.load(task_file.parent / name) as arrays:
            for key in sorted(key for key in arrays.files if not key.endswith(".outputs")):
                digest.update(f"{key} {arrays[key].dtype} {arrays[key].shape}".encode())
                digest.update(np.ascontiguousarray(arrays[key]).tobytes())
    return digest.hexdigest()


def page_text(task_file: Path, identity: str) -> str:
    """The page with all that it needs inside, compressed.

    Raises:
        NoRuntimeError: onnxruntime-web cannot be had.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = served_files(task_file, Path(folder), runtime())
        task = json.loads(files["task.json"].read_text(encoding="utf-8")) | {"task_sha256": identity}
        files["task.json"].write_text(json.dumps(task), encoding="utf-8")
        shell, script = (files.pop(name).read_text(encoding="utf-8") for name in PAGE)
        packed = {name: _packed(file.read_bytes()) for name, file in files.items()}
    inside = f'<script type="application/json" id="files">{json.dumps(packed)}</script>'
    return shell.replace(SCRIPT, f'{inside}\n<script type="module">\n{script}</script>')


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()
