"""Our latencies against MLPerf's LoadGen (SingleStream) on the same ONNX Runtime session; needs mlcommons-loadgen.

Sittings alternate: our loop, LoadGen, our loop again (the noise). Printed are the median over sittings of LoadGen's
50th and 90th percentile over ours, with the lowest and highest, beside the same of our second loop; and, on LoadGen's
own queries, its early-stopping estimate of the 90th percentile over `fishbone.bench.timing.p90_bound`.
"""

import argparse
import functools
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from fishbone.bench import agent, timing
from fishbone.export.from_torch import to_bytes, to_onnx
from fishbone.nn.models import build


def example(folder: Path) -> Path:
    network = build({"name": "resnet", "depth": 20, "width": 16, "channels": 3, "classes": 10}).eval()
    file = folder / "resnet20.onnx"
    file.write_bytes(to_bytes(to_onnx(network, (3, 32, 32), 18)))
    return file


def our_loop(run, seconds: float) -> list[int]:
    took, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter_ns()
        run()
        took.append(time.perf_counter_ns() - began)
    return took


def loadgen_run(loadgen, run, seconds: float, folder: Path) -> tuple[dict[str, int], list[int]]:
    """(nanoseconds of p50, p90 and the early-stopping estimate; what each query took inside)."""
    took: list[int] = []

    def issue(samples) -> None:
        for sample in samples:
            began = time.perf_counter_ns()
            run()
            took.append(time.perf_counter_ns() - began)
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0)])

    settings = loadgen.TestSettings()
    settings.scenario, settings.mode = loadgen.TestScenario.SingleStream, loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = settings.max_duration_ms = round(1000 * seconds)
    settings.single_stream_expected_latency_ns = 1_000_000
    log = loadgen.LogSettings()
    log.log_output.outdir, log.log_output.copy_summary_to_stdout = str(folder), False
    system = loadgen.ConstructSUT(issue, lambda: None)
    samples = loadgen.ConstructQSL(1, 1, lambda _: None, lambda _: None)
    loadgen.StartTestWithLogSettings(system, samples, settings, log)
    loadgen.DestroyQSL(samples)
    loadgen.DestroySUT(system)
    summary = (folder / "mlperf_log_summary.txt").read_text()
    patterns = {"p50": r"50\.00 percentile latency", "p90": r"90\.00 percentile latency"}
    patterns["bound"] = r"Early stopping 90\.0th percentile estimate"
    told = {key: int(re.search(rf"{text}\D*:\s*(\d+)", summary)[1]) for key, text in patterns.items()}
    return told, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--onnx", type=Path, help="a model with batch 1  [default: a ResNet20]")
    parser.add_argument("--sittings", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each loop")
    options = parser.parse_args()
    try:
        import mlperf_loadgen as loadgen
    except ImportError:
        print("skipped: pip install mlcommons-loadgen")
        return
    agent.pin(1)
    ratios = {name: [] for name in ("p50", "p90", "ours again p50", "ours again p90", "bound")}
    with tempfile.TemporaryDirectory() as folder:
        file = options.onnx or example(Path(folder))
        for _ in range(options.sittings):
            session = agent.open_session(str(file), 1)
            source = session.get_inputs()[0]
            shape = [side if isinstance(side, int) else 1 for side in source.shape]
            feed = {source.name: np.random.default_rng(0).standard_normal(shape, np.float32)}
            run = functools.partial(session.run, None, feed)
            our_loop(run, 0.5)
            loops = [our_loop(run, options.seconds)]
            theirs, took = loadgen_run(loadgen, run, options.seconds, Path(folder))
            loops.append(our_loop(run, options.seconds))
            for q, key in ((0.5, "p50"), (0.9, "p90")):
                first, second = (np.quantile(loop, q) for loop in loops)
                ratios[key].append(theirs[key] / np.sqrt(first * second))
                ratios[f"ours again {key}"].append(second / first)
            ratios["bound"].append(theirs["bound"] / timing.p90_bound(took))
    print(f"onnxruntime {ort.__version__}, one pinned thread, {options.sittings} sittings of {options.seconds:g} s")
    for name, values in ratios.items():
        print(f"{name:16s} {np.median(values):.4f}  [{min(values):.4f}, {max(values):.4f}]")


if __name__ == "__main__":
    main()
