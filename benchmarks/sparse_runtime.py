"""Sparse runtime against ONNX Runtime: one ResNet18 for CIFAR-10, one image at a time, one pinned thread.

Arms: ONNX Runtime dense (twice: the second is the noise), at half the width, in int8 (U8S8), and with 95 % zeros;
the sparse runtime at several sparsities, the same in every inner layer. Weights are random: speed depends on where
zeros are, not on values. All take turns within rounds; printed are median milliseconds, the median ratio to dense with
a 95 % bootstrap interval over sittings, and the time that sparse multiply-accumulates predict from the 90 % arm.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from fishbone.bench import agent, timing
from fishbone.curvature.layout import prunable
from fishbone.export.facts import facts, read_onnx
from fishbone.export.from_torch import to_bytes, to_onnx
from fishbone.nn.models import build as build_network
from fishbone.sparse.plan import RUNTIME, compile_plan


def network(width: int, sparsity: float) -> torch.nn.Module:
    torch.manual_seed(0)
    made = build_network({"name": "resnet", "depth": 18, "width": width, "channels": 3, "classes": 10}).eval()
    parameters = dict(made.named_parameters())
    with torch.no_grad():
        for name in prunable(made):
            weight = parameters[name]
            weight *= (torch.rand(weight.shape) >= sparsity).float()
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    return made


def export(folder: Path, name: str, width: int, sparsity: float) -> Path:
    file = folder / f"{name}.onnx"
    file.write_bytes(to_bytes(to_onnx(network(width, sparsity), (3, 32, 32), 18)))
    return file


def quantised(file: Path) -> Path:
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    class Calibration(quantization.CalibrationDataReader):
        left = 8

        def get_next(self):
            self.left -= 1
            shape = (1, 3, 32, 32)
            return {"image": np.random.default_rng(self.left).standard_normal(shape, np.float32)} if self.left else None

    ready, out = file.with_suffix(".ready.onnx"), file.with_suffix(".int8.onnx")
    shape_inference.quant_pre_process(str(file), str(ready))
    quantization.quantize_static(
        str(ready), str(out), Calibration(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip
    return out


def arms(folder: Path, sparsities: list[float]) -> tuple[dict, dict[str, int]]:
    """(name → function that makes the runner of one image, name → sparse multiply-accumulates)."""
    image = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
    library = folder / "runtime.so"
    agent.build_sparse(RUNTIME, library)

    def dense(file: Path):
        session = agent.open_session(str(file), 1)
        return lambda: session.run(None, {"image": image})[0]

    def sparse(plan: Path):
        made = agent.SparseSession(library, plan)
        return lambda: made.run(None, {"image": image})[0]

    files = {"dense": export(folder, "dense", 64, 0), "half width": export(folder, "half", 32, 0)}
    found = {name: lambda file=file: dense(file) for name, file in files.items()}
    found["dense again"] = found["dense"]
    int8 = quantised(files["dense"])
    found["int8 (U8S8)"] = lambda: dense(int8)
    macs = {}
    for sparsity in sparsities:
        file = export(folder, f"{sparsity:g}", 64, sparsity)
        plan = file.with_suffix(".plan")
        plan.write_bytes(compile_plan(read_onnx(file)))
        name = f"sparse runtime {sparsity:.0%}"
        found[name] = lambda plan=plan: sparse(plan)
        macs[name] = facts(read_onnx(file), file.read_bytes()).sparse_macs
        ours, theirs = sparse(plan)(), dense(file)()
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max(), f"{name}: outputs differ"
        if sparsity == 0.95:
            found["ONNX Runtime, 95 % zeros"] = lambda file=file: dense(file)
    return found, macs


def measure(found: dict, sittings: int, seconds: float) -> dict[str, list[list[float]]]:
    """[sitting][round] medians of blocks of about 20 ms."""
    generator, rounds = np.random.default_rng(0), {name: [] for name in found}
    for _ in range(sittings):
        ready = {}
        for name, make in found.items():
            run = make()
            took = []
            for _ in range(20):
                began = time.perf_counter()
                run()
                took.append(time.perf_counter() - began)
            ready[name] = run, max(1, round(0.02 / np.median(took)))
            rounds[name].append([])
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for name in generator.permutation(list(ready)):
                run, repeats = ready[name]
                run()
                took = []
                for _ in range(repeats):
                    began = time.perf_counter()
                    run()
                    took.append(time.perf_counter() - began)
                rounds[name][-1].append(float(np.median(took)))
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.8, 0.9, 0.95, 0.98])
    parser.add_argument("--sittings", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each sitting")
    options = parser.parse_args()
    agent.pin(1)
    with tempfile.TemporaryDirectory() as folder:
        found, macs = arms(Path(folder), options.sparsities)
        rounds = measure(found, options.sittings, options.seconds)
    print(f"onnxruntime {ort.__version__}, {os.cpu_count()} cores, one pinned thread, {options.sittings} sittings")
    base = next((name for name in macs if "90%" in name), next(iter(macs), None))
    for name, values in rounds.items():
        median = np.median(np.concatenate(values)) * 1e3
        ratio, low, high = timing.speedup(rounds["dense"], values, np.random.default_rng(0))
        line = f"{name:28s} {median:8.3f} ms  {ratio:6.2f}x  [{low:.2f}, {high:.2f}]"
        if name in macs:
            predicted = np.median(np.concatenate(rounds[base])) * 1e3 * macs[name] / macs[base]
            line += f"  {macs[name] / 1e6:7.1f} M sparse MACs, predicted {predicted:.3f} ms"
        print(line)


if __name__ == "__main__":
    main()
