"""Measures ONNX classifiers on the machine it runs on: the one file that travels to a device.

    python -P agent.py TASK.json

Needs Python ≥ 3.11, numpy and onnxruntime, nothing else; a C compiler and runtime.c where the task asks for the sparse
runtime. Reads a task (fishbone.bench.task writes it), prints progress on
stderr and one JSON document between two sentinel lines on stdout. It measures and judges nothing: percentiles,
intervals and verdicts come from fishbone.bench.timing, for all kinds of devices alike.

Order: file hashes → cold runs (a fresh process each) → in one more process parity with the host's outputs → accuracy →
interleaved warm rounds of all models, the baseline loaded twice → the baseline alone without rest, if the task asks for
it → operators after optimisation. A model that fails
keeps its status and the others go on; when the wall budget ends, what there is is printed with ``complete: false``.
What is killed is a child: this process lives to tell. Names in the task are relative to its folder.
"""

import ctypes
import hashlib
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

_began = time.perf_counter_ns()
import numpy as np  # noqa: E402 (timed: importing is part of a cold start)
import onnxruntime as ort  # noqa: E402

IMPORT_NS = time.perf_counter_ns() - _began

SCHEMA = 1
BEGIN, END = "-----BEGIN FISHBONE MEASUREMENT-----", "-----END FISHBONE MEASUREMENT-----"
CONTROL = "baseline again"  # the A/A control
SESSION = {
    # Waiting threads would steal time from the other models; tiny pruned values would take the slow denormal path.
    "session.intra_op.allow_spinning": "0",
    "session.set_denormal_as_zero": "1",
}
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
FLAGS = "avx avx2 avx512f avx512_vnni avx_vnni avx512_bf16 amx_int8 amx_bf16 asimddp i8mm bf16 sve hypervisor"
COMPILE = ("-std=c11", "-O3", "-ffp-contract=fast", "-fPIC", "-shared", "-pthread")
AGENT = Path(__file__).resolve()
GRACE_SECONDS = 15
WARM_UP_RUNS = 10
MAX_REPEATS = 256
PROFILED_RUNS = 5
WINDOW_SECONDS = 10  # of the run without rest


def main(arguments: list[str]) -> None:
    """Do what the task file says, and print what came of it as one JSON document."""
    task_file = Path(arguments[0]).resolve()
    os.chdir(task_file.parent)
    task = json.loads(task_file.read_text(encoding="utf-8"))
    pin(task["threads"])
    match arguments[1:]:
        case ["--cold", index]:
            document = cold_start(task, int(index))
        case ["--check"]:
            return check_all(task)
        case ["--warm"]:
            document = warm(task, json.load(sys.stdin))
        case _:
            signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # ends its children too
            say(f"process {os.getpid()}")
            document = measure(task, task_file)
    print(f"{BEGIN}\n{json.dumps(document)}\n{END}", flush=True)


def check_all(task: dict) -> None:
    """Ends with 1 if a file is not the one that was sent."""
    for model in task["models"]:
        check_hash(model, record := {"status": "ok"})
        if record["status"] == "hash_mismatch":
            sys.exit(f"{model['name']}: {record['message']}")


def measure(task: dict, task_file: Path) -> dict:
    """The whole measurement; keys as in fishbone.bench.results.Measurement."""
    deadline = time.monotonic() + task["budget_seconds"]
    records = [
        {"name": model["name"], "status": "ok", "message": None}
        | {"cold": [], "parity": None, "accuracy": None, "blocks_ns": [], "operators": None}
        for model in task["models"]
    ]
    for model, record in zip(task["models"], records, strict=True):
        check_hash(model, record)
    build_for(task, records)
    cold_starts(task, task_file, records, deadline)
    warm = warm_child(task_file, records, deadline)
    records = warm["records"]
    cold = all(len(record["cold"]) == task["cold_runs"] for record in records if record["status"] == "ok")
    return {
        "schema_version": SCHEMA,
        "agent_sha256": hashlib.sha256(AGENT.read_bytes()).hexdigest(),
        "complete": warm["finished"] and cold,
        "environment": environment(),
        "session": SESSION,
        "contention": warm["contention"],
        "control_blocks_ns": warm["control"],
        "sustained": warm["sustained"],
        "models": records,
    }


def warm_child(task_file: Path, records: list[dict], deadline: float) -> dict:
    """`warm` in a process of its own; if that dies, the models that it held say how."""
    left = max(0.0, deadline - time.monotonic())
    found = child(task_file, ["--warm"], left + GRACE_SECONDS, {"records": records, "seconds": left})
    if "records" in found:
        return found
    if found["status"] == "oom":
        found["message"] = "starts alone, but all models together take too much memory; measure fewer at a time"
    for record in records:
        if record["status"] == "ok":
            record.update(found)
    return {"records": records, "control": [], "contention": None, "sustained": [], "finished": False}


def warm(task: dict, state: dict) -> dict:
    """Inside that process."""
    records, deadline = state["records"], time.monotonic() + state["seconds"]
    feeds, finished = check_models(task, records, deadline)
    control, contention, full = warm_rounds(task, feeds, records, deadline)
    windows, whole = sustained(task, feeds, records[task["baseline"]], deadline)
    full &= whole
    for index, feed in feeds.items():
        if records[index]["status"] == "ok" and (full := full and time.monotonic() < deadline):
            with failures(records[index]):
                records[index]["operators"] = operators(task["models"][index], feed, task)
    found = {"control": control, "contention": contention, "sustained": windows}
    return {"records": records, "finished": finished and full} | found


def child(task_file: Path, arguments: list[str], timeout: float, state: dict | None = None) -> dict:
    """What this file prints when it is run with ``arguments``, or the status and message of its end."""
    command = [sys.executable, "-P", str(AGENT), str(task_file), *arguments]
    given = None if state is None else json.dumps(state)
    try:
        done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return {"status": "timeout", "message": "did not end within the budget"}
    if done.returncode in (-9, 137):
        return {"status": "oom", "message": "its process was killed, most likely for its memory"}
    if done.returncode:
        return {"status": "crashed", "message": f"its process ended with {done.returncode}"}
    return json.loads(done.stdout.split(BEGIN)[1].split(END)[0])


# ---- models and inputs


def open_session(file: str, threads: int, profile: str | None = None) -> ort.InferenceSession:
    """A session of ONNX Runtime that computes on so many threads, one operator at a time."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    for key, value in SESSION.items():
        options.add_session_config_entry(key, value)
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def open_model(model: dict, task: dict):
    """A session of the runtime that the task names for this model."""
    if model["runtime"] == "onnxruntime":
        return open_session(model["file"], task["threads"])
    return SparseSession(task["sparse_library"], model["file"], model["batch"], task["threads"])


class SparseSession:
    """A plan in the sparse runtime, with those methods of `onnxruntime.InferenceSession` that are used here."""

    def __init__(self, library: str, plan: str, batch: int = 1, threads: int = 1) -> None:
        """Load the library and the plan.

        Raises:
            ValueError: the plan is damaged or written for another version.
        """
        self._library = ctypes.CDLL(os.path.abspath(library))  # a bare name would be searched for elsewhere
        self._library.fb_open.restype = ctypes.c_void_p
        self._library.fb_error.restype = ctypes.c_char_p
        self._library.fb_run.argtypes = [ctypes.c_void_p] * 3
        self._library.fb_close.argtypes = [ctypes.c_void_p]
        self._library.fb_shape.argtypes = [ctypes.c_void_p] * 2
        self._network = self._library.fb_open(os.fsencode(plan), batch, threads)
        if not self._network:
            raise ValueError(self._library.fb_error().decode())
        found = (ctypes.c_int32 * 4)()
        self._library.fb_shape(self._network, found)
        self.shape, self._out = (batch, *found[:3]), (batch, found[3])
        self.lanes = self._library.fb_lanes()

    def get_inputs(self) -> list:
        """The one input, as ONNX Runtime describes its own."""
        return [SimpleNamespace(name="image", type="tensor(float)", shape=list(self.shape))]

    def run(self, _outputs: list[str] | None, feed: dict) -> list[np.ndarray]:
        """[(batch, outputs)] of one float32 array of the input's shape."""
        (images,) = feed.values()
        if images.shape != self.shape or images.dtype != np.float32:
            raise ValueError(f"takes float32 {self.shape}, not {images.dtype} {images.shape}")
        images, out = np.ascontiguousarray(images), np.empty(self._out, np.float32)
        self._library.fb_run(self._network, images.ctypes.data, out.ctypes.data)
        return [out]

    def __del__(self) -> None:
        if getattr(self, "_network", None):
            self._library.fb_close(self._network)


def build_sparse(source: str, library: str) -> None:
    """Compile the sparse runtime for this very processor.

    Raises:
        RuntimeError: there is no compiler (``CC``, cc, gcc, clang), or it failed.
    """
    names = [os.environ.get("CC"), "cc", "gcc", "clang"]
    compiler = next((found for name in names if name and (found := shutil.which(name))), None)
    if compiler is None:
        raise RuntimeError("no C compiler on this device: install gcc or clang, or name one with CC")
    for native in ("-march=native", "-mcpu=native"):  # clang on ARM knows the second one only
        command = [compiler, *COMPILE, native, str(source), "-o", str(library)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            return
    raise RuntimeError(f"the C compiler failed: {done.stderr.strip()[-300:]}")


def build_for(task: dict, records: list[dict]) -> None:
    """Build the sparse runtime if a model asks for it; without it those models are skipped."""
    asking = [
        r for m, r in zip(task["models"], records, strict=True) if m["runtime"] == "sparse" and r["status"] == "ok"
    ]
    if asking:
        say("compiling the sparse runtime")
        with failures(asking[0], "skipped"):
            build_sparse(task["sparse_source"], task["sparse_library"])
        for record in asking:
            record.update(status=asking[0]["status"], message=asking[0]["message"])


@contextmanager
def failures(record: dict, status: str = "unsupported"):
    """An exception inside becomes the record's status and a message without paths."""
    try:
        yield
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        starved = isinstance(error, MemoryError) or "bad_alloc" in text or "DeviceError to allocate" in text
        record["status"] = "oom" if starved else status
        record["message"] = re.sub(r"(?:[A-Za-z]:)?(?:[/\\][\w.+@~-]+)+[/\\]", "", text)[:500]


def check_hash(model: dict, record: dict) -> None:
    """Write into the record that the model's file was refused, or is not the one that was sent."""
    if model["refused"]:
        record.update(status="unsupported", message=model["refused"])
        return
    with failures(record, "hash_mismatch"), open(model["file"], "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != model["sha256"]:
            raise ValueError("the file is not the one that was sent; it may have been cut short")


def one_feed(session, vectors, model: dict) -> dict:
    """The input of one run, by its name in the graph."""
    if (key := f"{model['vectors']}.feed") not in vectors:
        raise ValueError("the host could not run it, so it sent no inputs")
    return {session.get_inputs()[0].name: vectors[key]}


def run_all(session: ort.InferenceSession, inputs: np.ndarray, output: str, prepared=np.asarray) -> np.ndarray:
    """One output for all inputs, (N, …); where the graph fixes its batch size, the last batch is filled up."""
    source = session.get_inputs()[0]
    size = source.shape[0] if isinstance(source.shape[0], int) else 64
    outputs = []
    for start in range(0, len(inputs), size):
        batch = inputs[start : start + size]
        full = np.resize(batch, (size, *batch.shape[1:])) if len(batch) < size == source.shape[0] else batch
        outputs.append(session.run([output], {source.name: prepared(full)})[0][: len(batch)])
    return np.concatenate(outputs)


# ---- correctness


def check_models(task: dict, records: list[dict], deadline: float) -> tuple[dict[int, dict], bool]:
    """Parity and accuracy, a model at a time → ({index: feed of one run} of what works, whether time sufficed)."""
    feeds: dict[int, dict] = {}
    vectors = np.load(task["vectors"])
    data = None if task["images"] is None else dict(np.load(task["images"]))
    for index, record in enumerate(records):
        if time.monotonic() > deadline:
            return feeds, False
        if record["status"] == "ok":
            say(f"outputs of {record['name']}")
            with failures(record):
                model = task["models"][index]
                session = open_model(model, task)
                feed = one_feed(session, vectors, model)
                known = (vectors[f"{model['vectors']}.{name}"] for name in ("inputs", "outputs"))
                record["parity"] = parity(session, model["output"], *known)
                record["accuracy"] = data and model["answer"] and accuracy(session, model, data)
                feeds[index] = feed
    return feeds, True


def parity(session: ort.InferenceSession, output: str, inputs: np.ndarray, reference: np.ndarray) -> dict:
    """This device's outputs against those of the host's unoptimised graph, on the same inputs."""
    reference = reference.reshape(len(inputs), -1).astype(np.float64)
    outputs = run_all(session, inputs, output).reshape(reference.shape).astype(np.float64)
    worst, scale = np.abs(outputs - reference).max(), np.abs(reference).max()
    if not np.isfinite(worst):
        raise ValueError("outputs are not finite")
    return {
        "inputs": len(reference),
        "max_abs": float(worst),
        "relative": float(worst / max(scale, np.finfo(np.float32).tiny)),
        "agreement": float((outputs.argmax(1) == reference.argmax(1)).mean()),
    }


def accuracy(session: ort.InferenceSession, model: dict, data: dict) -> dict:
    """Right answers on the task's images; a batch at a time, as 10,000 large images would not fit as floats.

    A row of scores that is not finite and a label that is no class are no answer, and wrong.
    """
    dtype = DTYPES[session.get_inputs()[0].type]
    how = model["mean"], model["std"], dtype
    found = run_all(session, data["images"], model["output"], lambda images: prepare(images, *how))
    found = found.reshape(len(found), -1)
    if model["answer"] == "scores":
        answers, given = found.argmax(1), np.isfinite(found).all(1)
    else:
        answers, given = found[:, 0], (found[:, 0] >= 0) & (found[:, 0] < model["classes"])
    correct = int((given & (answers == data["labels"])).sum())
    return {"correct": correct, "images": len(answers), "unanswered": int((~given).sum())}


def prepare(images: np.ndarray, mean: list | None, std: list | None, dtype) -> np.ndarray:
    """uint8 (N, H, W, C) → what the graph takes, (N, C, H, W): raw bytes, or (pixel / 255 − mean) / std by channel."""
    pixels = images.transpose(0, 3, 1, 2)
    if dtype is np.uint8:
        return np.ascontiguousarray(pixels)
    shift, scale = (np.array(values, np.float32)[:, None, None] for values in (mean, std))
    return np.ascontiguousarray((pixels.astype(np.float32) / 255 - shift) / scale, dtype=dtype)


# ---- cold start


def cold_starts(task: dict, task_file: Path, records: list[dict], deadline: float) -> None:
    """Import, load and first run in a fresh process; files are in the page cache. First, as a crash hurts no other."""
    for repetition in range(task["cold_runs"]):
        for index, record in enumerate(records):
            remaining = deadline - time.monotonic()
            if record["status"] == "ok" and remaining > 0:
                say(f"cold start {repetition + 1} of {record['name']}")
                result = child(task_file, ["--cold", str(index)], remaining)
                record["cold"] += [run] if (run := result.pop("run", None)) else []
                record.update(result)


def cold_start(task: dict, index: int) -> dict:
    """Inside the fresh process."""
    record, run = {"status": "ok", "message": None}, {"import_ns": IMPORT_NS, "import_rss_bytes": peak_rss()}
    with failures(record), np.load(task["vectors"]) as vectors:
        began = time.perf_counter_ns()
        session = open_model(task["models"][index], task)
        run["load_ns"] = time.perf_counter_ns() - began
        feed = one_feed(session, vectors, task["models"][index])
        began = time.perf_counter_ns()
        session.run(None, feed)
        run["first_run_ns"] = time.perf_counter_ns() - began
        run["peak_rss_bytes"] = peak_rss()
    return record | {"run": run if record["status"] == "ok" else None}


def peak_rss() -> int | None:
    """Bytes; the kernel's high-water mark of this process alone (``ru_maxrss`` would carry over its parent's)."""
    match = re.search(r"VmHWM:\s+(\d+) kB", read("/proc/self/status"))
    return int(match[1]) * 1024 if match else None


# ---- warm rounds


def warm_rounds(task: dict, feeds: dict, records: list[dict], deadline: float) -> tuple[list, dict | None, bool]:
    """(blocks of the control, evidence of contention, whether the time asked for was spent).

    Where a session's memory happens to lie changes its speed by a per cent or so, for as long as it lives. So the
    time is cut into sittings that load every model anew. Blocks go to the records: nanoseconds by
    ``[sitting][round][run]``.
    """
    blocks: list = []
    control = {"name": CONTROL, "status": "ok", "blocks_ns": blocks}
    kept: dict[int | str, dict] = {index: records[index] for index in feeds}
    if task["baseline"] in kept:
        kept[CONTROL] = control
    say(f"{task['sittings']} sittings of {len(kept)} sessions, {task['seconds']:g} s each in all")
    shuffle = random.Random(task["seed"]).shuffle
    before, began, full = pressure(), time.monotonic(), True
    spent: Counter[str] = Counter()
    for _ in range(task["sittings"]):
        present = [key for key in kept if kept[key]["status"] == "ok"]
        shuffle(present)
        if not present or time.monotonic() > deadline:
            full = not present
            break
        sitting(task, present, kept, feeds, shuffle, deadline, spent)
    full &= time.monotonic() < deadline
    ratio = spent["wall"] / spent["cpu"] if task["threads"] == 1 and spent["cpu"] else None
    return blocks, contention(before, pressure(), time.monotonic() - began, ratio), full


def sitting(task: dict, present: list, kept: dict, feeds: dict, shuffle, deadline: float, spent: Counter) -> None:
    """Load and warm up, then rounds: every model takes its turn once, in shuffled order."""
    ready = {}
    for key in present:
        index = task["baseline"] if key == CONTROL else key
        with failures(kept[key]):
            session, feed = open_model(task["models"][index], task), feeds[index]
            ready[key] = session, feed, warm_up(session, feed, task)
            kept[key]["blocks_ns"].append([])
    until = time.monotonic() + task["seconds"] * len(ready) / task["sittings"]
    first = True
    while ready and (first or time.monotonic() < min(until, deadline)):
        first = False
        order = list(ready)
        shuffle(order)
        for key in order:
            with failures(kept[key]):
                block, cpu = timed_block(*ready[key])
                kept[key]["blocks_ns"][-1].append(block)
                spent.update(wall=sum(block), cpu=cpu)
            if kept[key]["status"] != "ok":
                del ready[key]


def warm_up(session: ort.InferenceSession, feed: dict, task: dict) -> int:
    """Runs for a while; returns how many runs fill one block."""
    took: list[int] = []
    until = time.monotonic() + task["warmup_seconds"] / task["sittings"]
    while len(took) < WARM_UP_RUNS or time.monotonic() < until:
        began = time.perf_counter_ns()
        session.run(None, feed)
        took.append(time.perf_counter_ns() - began)
    return max(1, min(MAX_REPEATS, round(task["block_ms"] * 1e6 / np.median(took[len(took) // 2 :]))))


def timed_block(session: ort.InferenceSession, feed: dict, repeats: int) -> tuple[list[int], int]:
    """(wall nanoseconds of each run, CPU nanoseconds of this thread for all); the first run refills the caches."""
    session.run(None, feed)
    took, cpu = [], time.thread_time_ns()
    for _ in range(repeats):
        began = time.perf_counter_ns()
        session.run(None, feed)
        took.append(time.perf_counter_ns() - began)
    return took, time.thread_time_ns() - cpu


def sustained(task: dict, feeds: dict, record: dict, deadline: float) -> tuple[list[dict], bool]:
    """(windows of the baseline's runs without rest, whether the time asked for was spent): a warm device may slow."""
    windows: list[dict] = []
    index = task["baseline"]
    if not task["sustained_seconds"] or record["status"] != "ok" or index not in feeds:
        return windows, True
    say(f"{record['name']} without rest, {task['sustained_seconds']:g} s")
    session, count = open_model(task["models"][index], task), max(2, round(task["sustained_seconds"] / WINDOW_SECONDS))
    for _ in range(count):
        took: list[int] = []
        until = min(deadline, time.monotonic() + task["sustained_seconds"] / count)
        before = throttle_events()
        while not took or time.monotonic() < until:
            began = time.perf_counter_ns()
            session.run(None, feeds[index])
            took.append(time.perf_counter_ns() - began)
        after = throttle_events()
        throttled = None if before is None or after is None else after - before
        window = {"runs": len(took), "median_ns": float(np.median(took)), "throttle_events": throttled}
        windows.append(window | {"celsius": hottest(), "megahertz": clock_rate()})
        if time.monotonic() > deadline:
            return windows, False
    return windows, True


# ---- what the optimiser left


def operators(model: dict, feed: dict, task: dict) -> list[dict]:
    """Operator kinds of the optimised graph with provider, number of nodes and share of the time."""
    if model["runtime"] == "sparse":
        lanes = open_model(model, task).lanes
        return [{"operator": "SparseNetwork", "provider": f"{lanes} lanes", "nodes": 1, "share": 1.0}]
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(model["file"], task["threads"], profile=str(Path(folder) / "profile"))
        for _ in range(PROFILED_RUNS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes: Counter[tuple[str, str]] = Counter()
    spent: Counter[tuple[str, str]] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kind = event["args"]["op_name"], event["args"]["provider"]
            nodes[kind] += 1
            spent[kind] += event["dur"]
    total = sum(spent.values()) or 1
    return [
        {"operator": kind[0], "provider": kind[1], "nodes": nodes[kind] // PROFILED_RUNS, "share": spent[kind] / total}
        for kind in sorted(nodes)
    ]


# ---- the machine


def pin(threads: int) -> None:
    """One thread stays on one core; more are left to the scheduler."""
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def pressure() -> dict:
    """Counters that tell of neighbours; what cannot be read is None."""
    ticks = [int(field) for field in read("/proc/stat").partition("\n")[0].split()[1:9]]
    stalled = re.search(r"some .*total=(\d+)", read("/proc/pressure/cpu"))
    try:
        import resource  # Windows has none

        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    except ImportError:
        switches = None
    return {
        "ticks": ticks or None,
        "stalled_us": int(stalled[1]) if stalled else None,
        "switches": switches,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def contention(before: dict, after: dict, seconds: float, wall_over_cpu: float | None) -> dict:
    """How much others took of the processor between two looks at its counters; None where it does not tell."""

    def change(key):
        return None if before[key] is None else after[key] - before[key]

    ticks = None if before["ticks"] is None else np.subtract(after["ticks"], before["ticks"])
    return {
        "seconds": seconds,
        "wall_over_cpu": wall_over_cpu,
        "steal_fraction": None if ticks is None else float(ticks[7] / max(ticks.sum(), 1)),
        "cpu_pressure": None if before["stalled_us"] is None else change("stalled_us") / 1e6 / seconds,
        "involuntary_switches": change("switches"),
        "load_before": before["load"],
        "load_after": after["load"],
    }


def hottest() -> float | None:
    """Degrees Celsius of the warmest sensor."""
    return highest("/sys/class/thermal", "thermal_zone*/temp", 1e-3)


def clock_rate() -> float | None:
    """Megahertz of the fastest core."""
    return highest("/sys/devices/system/cpu/cpufreq", "policy*/scaling_cur_freq", 1e-3)


def highest(folder: str, pattern: str, unit: float) -> float | None:
    """The largest number in the files of this pattern, times the unit; None where there is none."""
    found = [int(text) for file in Path(folder).glob(pattern) if (text := read(file).strip()).lstrip("-").isdigit()]
    return max(found) * unit if found else None


def throttle_events() -> int | None:
    """How often the processor has slowed itself for its heat since it started; None where it does not count."""
    files = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    found = [int(text) for file in files if (text := read(file).strip()).isdigit()]
    return sum(found) if found else None


def environment() -> dict:
    """Software and hardware; no host name, user, address, path or time."""
    cpuinfo = read("/proc/cpuinfo")
    model = re.search(r"(?:model name|Model|Hardware)\s*:\s*(.+)", cpuinfo)
    present = set(" ".join(re.findall(r"(?:flags|Features)\s*:\s*(.+)", cpuinfo)[:1]).split())
    memory = re.search(r"MemTotal:\s+(\d+) kB", read("/proc/meminfo"))
    limit = read("/sys/fs/cgroup/memory.max") or read("/sys/fs/cgroup/memory/memory.limit_in_bytes")
    governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": ort.__version__,
        "providers": ort.get_available_providers(),
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "browser": None,
        "cpu": model[1].strip() if model else platform.processor() or None,
        "cpu_flags": [flag for flag in FLAGS.split() if flag in present],
        "cores": os.cpu_count(),
        "cores_used": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "governor": governor or None,
        "memory_bytes": int(memory[1]) * 1024 if memory else None,
        "memory_limit_bytes": int(limit) if limit.strip().isdigit() and int(limit) < 2**60 else None,
    }


def read(file: str | Path) -> str:
    """The text of a file, or nothing where it cannot be read."""
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def say(text: str) -> None:
    """Tell people what is being done; the answer goes to stdout, this does not."""
    print(f"agent: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
