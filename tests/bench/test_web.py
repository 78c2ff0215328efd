"""A browser as a device: what is served to whom, every way to fail, and headless Chromium for real."""

import json
import math
import shutil
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import onnxruntime as ort
import pytest
from small_onnx import save_classifier, save_images

from fishbone.bench.devices import outcome, web
from fishbone.bench.procedure import Procedure
from fishbone.bench.results import Score
from fishbone.bench.task import write_task
from fishbone.data.dataset import load_dataset

QUICK = Procedure(
    threads=1,
    seconds=0.05,
    sittings=8,
    block_ms=1.0,
    warmup_seconds=0.0,
    sustained_seconds=0.2,
    cold_runs=1,
    images=20,
    budget_seconds=40.0,
)
CHROMIUM = [
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir={profile}",
]  # fmt: skip


@pytest.fixture
def task(tmp_path):
    (tmp_path / "task").mkdir()
    dataset = load_dataset(save_images(tmp_path / "d.npz"))
    own = {"fishbone.mean": "[0]", "fishbone.std": "[2]"}
    good = save_classifier(tmp_path / "m.onnx", metadata=own)
    models = [good, save_classifier(tmp_path / "odd.onnx", operator="Unheard")]
    return write_task(models, 0, dataset, QUICK, tmp_path / "task")


@pytest.fixture
def no_runtime_needed(tmp_path, monkeypatch):
    for name, _ in web.RUNTIME.values():
        (tmp_path / name).write_text("")
    monkeypatch.setattr(web, "runtime", lambda: tmp_path)


def visit(task, actions, wait_seconds=20.0):
    """Run the device while ``actions(address)`` plays the browser in another thread."""
    found = {}

    class Server(web.ThreadingHTTPServer):
        def __init__(self, place, handler):
            super().__init__(place, handler)
            found["address"] = f"http://{place[0]}:{self.server_port}/{handler.args[1]}/"

    def play():
        while "address" not in found:
            time.sleep(0.01)
        actions(found["address"])

    player = threading.Thread(target=play)
    player.start()
    original, web.ThreadingHTTPServer = web.ThreadingHTTPServer, Server
    try:
        return web.run_web(task.file, QUICK.budget_seconds, None, "127.0.0.1", 0, wait_seconds)
    finally:
        web.ThreadingHTTPServer = original
        player.join()


def get(address: str):
    with urllib.request.urlopen(address, timeout=5) as answer:
        return answer.headers, answer.read()


def post(address: str, text: str) -> None:
    urllib.request.urlopen(urllib.request.Request(address, data=text.encode()), timeout=5).close()


def test_the_page_its_runtime_and_the_task_are_served_and_nothing_else(task, no_runtime_needed):
    seen = {}

    def actions(address):
        seen["page"] = get(address)
        seen["task"] = json.loads(get(address + "task.json")[1])
        for name in [*seen["task"]["arrays"], "ort.mjs", "ort.wasm", "page.js", "0.onnx"]:
            seen[name] = get(address + name)[1]
        for wrong in (address + "../task.json", address + "devices.yaml", address[:-2] + "/", address[:-1] + "x/"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(wrong)
        post(address + "failed", "enough")

    done = visit(task, actions)
    assert (done.status, done.message) == ("crashed", "the page: enough")
    headers, page = seen["page"]
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert b"page.js" in page
    arrays = seen["task"]["arrays"]
    for name in ("0.inputs.bin", "0.outputs.bin", "images.bin", "labels.bin"):
        itemsize = np.dtype(arrays[name]["type"]).itemsize
        assert len(seen[name]) == itemsize * math.prod(arrays[name]["shape"])
    assert seen["0.onnx"] == (task.file.parent / "0.onnx").read_bytes()


@pytest.mark.parametrize("text", ["", "{}", "no JSON"])
def test_a_result_that_is_none_is_garbage(task, no_runtime_needed, text):
    def actions(address):
        get(address)
        post(address + "result", text)

    assert visit(task, actions).status == "garbage_output"


def test_a_page_that_nobody_opens_is_unreachable(task, no_runtime_needed):
    done = visit(task, lambda address: None, wait_seconds=0.2)
    assert done.status == "unreachable"
    assert "0.2 s" in done.message


def test_a_page_that_is_closed_early_is_a_timeout(task, no_runtime_needed, monkeypatch):
    monkeypatch.setattr(outcome, "GRACE_SECONDS", 0.3 - QUICK.budget_seconds)
    assert visit(task, get).status == "timeout"


def test_without_npm_it_is_said_what_to_install(task, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = web.run_web(task.file, 1, None, "127.0.0.1", 0, 1)
    assert done.status == "no_runtime"
    assert "install npm" in done.message


def test_a_browser_that_is_not_there_leaves_the_page_unopened(task, no_runtime_needed):
    done = web.run_web(task.file, 1, ["no-such-browser"], "127.0.0.1", 0, 0.2)
    assert done.status == "unreachable"


def right_answers(task):
    """By hand, with the mean and std that the file states."""
    with np.load(task.file.parent / "images.npz") as data:
        inputs = (data["images"].transpose(0, 3, 1, 2) / 255 / 2).astype(np.float32)
        (scores,) = ort.InferenceSession(task.file.parent / "0.onnx").run(None, {"image": inputs})
        return Score(correct=int((scores.argmax(1) == data["labels"]).sum()), images=len(inputs))


def test_headless_chromium_measures_what_this_machine_computes(task):
    if shutil.which("chromium") is None:
        pytest.skip("no chromium")
    try:
        web.runtime()
    except web.NoRuntimeError as error:
        pytest.skip(str(error))
    done = web.run_web(task.file, QUICK.budget_seconds, CHROMIUM, "127.0.0.1", 0, 30)
    assert done.status == "ok", done.message
    measurement = done.measurement
    good, odd = measurement.models
    assert measurement.complete
    assert (good.status, odd.status) == ("ok", "unsupported")
    assert good.parity.relative < 1e-4
    assert good.parity.agreement == 1
    assert good.accuracy == right_answers(task)
    assert len(good.blocks_ns) == len(measurement.control_blocks_ns) == QUICK.sittings
    assert [window.median_ns > 0 for window in measurement.sustained] == [True, True]
    assert measurement.environment.onnxruntime == f"web {web.VERSION}"
    assert "Chrome" in measurement.environment.browser
