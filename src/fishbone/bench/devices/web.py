"""A browser as a device: a page served on request measures with onnxruntime-web and sends its result back.

For phones and anything else that has a browser and no Python. The address holds a secret word; nothing else is served.
The page is isolated (COOP, COEP), so that its clock is fine-grained; everything runs on one thread in WebAssembly.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from fishbone.bench.agent import BEGIN, END
from fishbone.bench.devices import outcome
from fishbone.bench.devices.outcome import Outcome, understand
from fishbone.errors import FishboneError
from fishbone.files import replacing, sha256

VERSION = "1.30.0"
RUNTIME = {  # served name → (name in the package, SHA-256)
    "ort.mjs": ("ort.wasm.bundle.min.mjs", "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"),
    "ort.wasm": ("ort-wasm-simd-threaded.wasm", "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"),
}
PAGE = ("page.html", "page.js")
TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
LARGEST_RESULT = 64 * 2**20


class NoRuntimeError(FishboneError):
    """onnxruntime-web cannot be had; the message says what to do."""


def run_web(
    task_file: Path, budget_seconds: float, browser: list[str] | None, bind: str, port: int, wait_seconds: float
) -> Outcome:
    """Serve the task until its result arrives.

    Args:
        task_file: what the page is told.
        budget_seconds: wall time after which the page itself ends.
        browser: a command that opens the address put behind it; None: a person opens it.
        bind, port: where to listen; port 0 takes a free one.
        wait_seconds: until somebody opens the page.
    """
    # A browser that was just killed may still hold its profile.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            files = served_files(task_file, Path(folder), runtime())
        except NoRuntimeError as error:
            return Outcome("no_runtime", str(error))
        with _server(files, bind, port) as (address, visits), _browser(browser, address, Path(folder)) as process:
            if not browser:
                print(f"open on the device, and keep its screen on: {address}", file=sys.stderr, flush=True)
            return _wait(visits, process, budget_seconds, wait_seconds)


def runtime() -> Path:
    """The folder that holds onnxruntime-web's two files, fetched with npm once and checked.

    Raises:
        NoRuntimeError: there is no npm, it failed, or the files are others.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "fishbone" / f"onnxruntime-web-{VERSION}"
    if not all(_is(folder / name, digest) for name, digest in RUNTIME.values()):
        _fetch(folder)
    return folder


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and sha256(file) == digest


def _fetch(folder: Path) -> None:
    npm, wanted = shutil.which("npm"), f"onnxruntime-web@{VERSION}"
    if npm is None:
        raise NoRuntimeError(f"needs {wanted}: install npm (Node.js), or put its dist/ files into {folder.name}")
    with tempfile.TemporaryDirectory() as temporary:
        done = subprocess.run([npm, "pack", "--silent", wanted], cwd=temporary, capture_output=True, text=True)
        packed = next(Path(temporary).glob("*.tgz"), None)
        if done.returncode or packed is None:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise NoRuntimeError(f"npm could not get {wanted}: {last}")
        with tarfile.open(packed) as archive:
            for name, digest in RUNTIME.values():
                source = archive.extractfile(f"package/dist/{name}")
                if source is None:
                    raise NoRuntimeError(f"npm's {wanted} holds no file {name}")
                with replacing(folder / name) as target, source:
                    target.write_bytes(source.read())
                if not _is(folder / name, digest):
                    (folder / name).unlink()
                    raise NoRuntimeError(f"npm's {wanted} holds another {name} than expected")


def served_files(task_file: Path, folder: Path, runtime_folder: Path) -> dict[str, Path]:
    """Name in the address → file: the page, the runtime, the task as JSON and plain arrays, the models."""
    task = json.loads(task_file.read_text(encoding="utf-8"))
    files = {name: Path(__file__).with_name(name) for name in PAGE}
    files |= {served: runtime_folder / name for served, (name, _) in RUNTIME.items()}
    vectors = dict(np.load(task_file.parent / task["vectors"]))
    arrays = {f"{name}.bin": array for name, array in vectors.items()}
    data = dict(np.load(task_file.parent / task["images"])) if task["images"] else None
    if data:
        arrays |= {"images.bin": data["images"], "labels.bin": data["labels"].astype(np.int32)}
    for name, array in arrays.items():
        (folder / name).write_bytes(np.ascontiguousarray(array).tobytes())
        files[name] = folder / name
    for model in task["models"]:
        if model["runtime"] == "onnxruntime":
            files[model["file"]] = task_file.parent / model["file"]
    shapes = {name: {"shape": array.shape, "type": array.dtype.name} for name, array in arrays.items()}
    agent = sha256(files["page.js"])
    (folder / "task.json").write_text(json.dumps(task | {"arrays": shapes, "agent_sha256": agent}))
    return files | {"task.json": folder / "task.json"}


class _Visits:
    """What the page has told so far."""

    def __init__(self) -> None:
        self.opened, self.ended = threading.Event(), threading.Event()
        self.document = self.failure = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, files: dict[str, Path], token: str, visits: _Visits, *arguments: Any):
        self.files, self.token, self.visits = files, token, visits
        super().__init__(*arguments)

    def do_GET(self) -> None:
        name = self._name()
        file = self.files.get("page.html" if name == "" else name or "")
        if file is None:
            return self._answer(404, b"")
        self.visits.opened.set()
        self._answer(200, file.read_bytes(), TYPES.get(file.suffix, "application/octet-stream"))

    def do_POST(self) -> None:
        length, name = int(self.headers.get("Content-Length") or 0), self._name()
        if name not in ("result", "failed", "progress") or length > LARGEST_RESULT:
            return self._answer(404, b"")
        text = self.rfile.read(length).decode(errors="replace")
        self._answer(200, b"")
        if name == "result":
            self.visits.document = text
            self.visits.ended.set()
        elif name == "failed":
            self.visits.failure = text[:500]
            self.visits.ended.set()
        else:
            print(f"browser: {text[:200]}", file=sys.stderr, flush=True)

    def _name(self) -> str | None:
        _, token, name = [*self.path.split("?")[0].split("/", 2), "", ""][:3]
        return name if secrets.compare_digest(token.encode(), self.token.encode()) else None

    def _answer(self, code: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(code)
        headers = {"Content-Type": kind, "Content-Length": len(body), "Cache-Control": "no-store"}
        headers |= {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
        for key, value in headers.items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing: the address is a secret."""


@contextmanager
def _server(files: dict[str, Path], bind: str, port: int) -> Iterator[tuple[str, _Visits]]:
    visits, token = _Visits(), secrets.token_urlsafe(12)
    server = ThreadingHTTPServer((bind, port), partial(_Handler, files, token, visits))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{bind}:{server.server_port}/{token}/", visits
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _browser(command: list[str] | None, address: str, folder: Path) -> Iterator[subprocess.Popen[bytes] | None]:
    if not command:
        yield None
        return
    words = [word.replace("{profile}", str(folder / "profile")) for word in command]
    silent = subprocess.DEVNULL
    try:
        process = subprocess.Popen([*words, address], stdout=silent, stderr=silent, start_new_session=True)
    except OSError:
        yield None
        return
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):  # what is left of it: its helpers write to the profile for a while
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(
    visits: _Visits, process: subprocess.Popen[bytes] | None, budget_seconds: float, wait_seconds: float
) -> Outcome:
    if not visits.opened.wait(wait_seconds):
        return Outcome("unreachable", f"nobody opened the page within {wait_seconds:g} s")
    patience = budget_seconds + outcome.GRACE_SECONDS
    if not visits.ended.wait(patience):
        if process is not None and process.poll() is not None:
            return Outcome("crashed", f"the browser ended with {process.returncode}")
        return Outcome("timeout", f"no answer within {patience:g} s; was the page closed, or the screen off?")
    if visits.failure:
        return Outcome("crashed", f"the page: {visits.failure}")
    return understand(f"{BEGIN}\n{visits.document}\n{END}")
