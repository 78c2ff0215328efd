"""One HTML file opened from disk: what is in it, whose result is taken, and headless Chromium for real."""

import asyncio
import json
import shutil
import subprocess
import time

import pytest
from small_onnx import save_classifier, save_images

from fishbone.bench.devices import page, web
from fishbone.bench.procedure import Procedure
from fishbone.bench.task import write_task
from fishbone.data.dataset import load_dataset

QUICK = Procedure(
    threads=1, seconds=0.05, sittings=8, block_ms=1.0, warmup_seconds=0.0, cold_runs=1, images=20, budget_seconds=40.0
)


def task(folder, seed=0):
    folder.mkdir()
    dataset = load_dataset(save_images(folder / "d.npz"))
    (folder / "task").mkdir()
    return write_task([save_classifier(folder / "m.onnx", seed=seed)], 0, dataset, QUICK, folder / "task").file


@pytest.fixture
def no_runtime_needed(tmp_path, monkeypatch):
    for name, _ in web.RUNTIME.values():
        (tmp_path / name).write_text("")
    monkeypatch.setattr(page, "runtime", lambda: tmp_path)


def test_the_first_run_writes_the_page_and_says_what_to_do(tmp_path, no_runtime_needed):
    done = page.run_page(task(tmp_path / "a"), tmp_path / "p.html", tmp_path / "r.json")
    assert done.status == "not_measured"
    assert f"open {tmp_path / 'p.html'}" in done.message
    text = (tmp_path / "p.html").read_text()
    assert 'src="page.js"' not in text
    assert "0.onnx" in text


def test_the_same_task_has_the_same_page_and_other_models_another(tmp_path, no_runtime_needed):
    first, again, other = task(tmp_path / "a"), task(tmp_path / "b"), task(tmp_path / "c", seed=1)
    assert page.task_identity(first) == page.task_identity(again) != page.task_identity(other)
    assert page.page_text(first, "x") == page.page_text(again, "x")


def test_a_result_of_other_models_is_not_taken(tmp_path, no_runtime_needed):
    result = tmp_path / "r.json"
    result.write_text(json.dumps({"task_sha256": page.task_identity(task(tmp_path / "a")), "measurement": {}}))
    done = page.run_page(task(tmp_path / "b", seed=1), tmp_path / "p.html", result)
    assert done.status == "hash_mismatch"
    assert (tmp_path / "p.html").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"task_sha256": "', "no JSON"])
def test_a_file_that_no_page_saved_is_garbage_and_stays(tmp_path, no_runtime_needed, text):
    (tmp_path / "r.json").write_text(text)
    done = page.run_page(task(tmp_path / "a"), tmp_path / "p.html", tmp_path / "r.json")
    assert done.status == "garbage_output"
    assert (tmp_path / "r.json").read_text() == text


def test_a_right_result_that_is_no_measurement_is_garbage(tmp_path, no_runtime_needed):
    mine = task(tmp_path / "a")
    (tmp_path / "r.json").write_text(json.dumps({"task_sha256": page.task_identity(mine), "measurement": {}}))
    assert page.run_page(mine, tmp_path / "p.html", tmp_path / "r.json").status == "garbage_output"


async def saved_by_chromium(address, profile):
    """Open the page, wait for its link, and read what the link would save."""
    import aiohttp

    async with aiohttp.ClientSession() as session:
        port = (profile / "DevToolsActivePort").read_text().splitlines()[0]
        async with session.get(f"http://127.0.0.1:{port}/json") as answer:
            target = next(entry for entry in await answer.json() if entry["url"] == address)
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            for number in range(200):
                expression = (
                    "(async () => { const a = document.getElementById('save'); return a.hidden ?"
                    " document.getElementById('state').textContent : await (await fetch(a.href)).text(); })()"
                )
                parameters = {"expression": expression, "awaitPromise": True, "returnByValue": True}
                await socket.send_json({"id": number, "method": "Runtime.evaluate", "params": parameters})
                text = (await socket.receive_json())["result"]["result"].get("value", "")
                if text.startswith("{"):
                    return text
                assert "did not work" not in text, text
                await asyncio.sleep(0.2)
    raise AssertionError(f"no result: {text}")


def test_headless_chromium_measures_from_disk(tmp_path):
    pytest.importorskip("aiohttp")
    if shutil.which("chromium") is None:
        pytest.skip("no chromium")
    mine, file, result, profile = task(tmp_path / "a"), tmp_path / "p.html", tmp_path / "r.json", tmp_path / "profile"
    if page.run_page(mine, file, result).status == "no_runtime":
        pytest.skip("no onnxruntime-web")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={profile}", file.as_uri()]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        patience = time.monotonic() + 30
        while not (profile / "DevToolsActivePort").exists() and time.monotonic() < patience:
            time.sleep(0.1)
        time.sleep(1)
        result.write_text(asyncio.run(saved_by_chromium(file.as_uri(), profile)))
    finally:
        process.terminate()
        process.wait()
    done = page.run_page(mine, file, result)
    assert done.status == "ok", done.message
    assert done.measurement.complete
    (model,) = done.measurement.models
    assert (model.status, model.parity.agreement, model.accuracy.images) == ("ok", 1, QUICK.images)
    assert len(model.blocks_ns) == QUICK.sittings
