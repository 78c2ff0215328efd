"""Result files as the stages write them, with numbers that a test chooses."""

import numpy as np
from PIL import Image

from fishbone.export.names import parse_name
from fishbone.files import write_history, write_json
from fishbone.nn.sidecar import Sidecar, TrainedOn

SHA = "ab" * 32
RESNET = {"name": "resnet", "depth": 8, "width": 8, "channels": 1, "classes": 10}
TWO_BRANCH = {"name": "two_branch", "shape": [1, 8, 8], "classes": 10, "embedding": 32, "hidden": 64, "parties": 2}
GENERATOR = {"name": "dcgan_generator", "shape": [1, 8, 8], "width": 16, "latent": 50}


def sidecar(path, architecture):
    """That of a network trained on `digits`, with as few mean and class names as a sidecar may have."""
    Sidecar(
        architecture=architecture, data=TrainedOn(name="digits", sha256=SHA), parent=None, mean=(0.5,), std=(0.25,),
        class_names=("0", "1"),
    ).write(path)  # fmt: skip


def prepare(root, dataset="digits", source="digits", train=1294):
    counts = {"train": train, "validation": 144, "test": 359}
    path = root / "prepare" / f"{dataset}.json"
    write_json(path, {"source": source, "counts": counts, "shape": [8, 8, 1], "sha256": SHA})
    return path


def train(root, seed, dataset="digits", accuracy=0.95):
    folder = root / "train" / dataset / f"seed{seed}"
    sidecar(folder / "model.json", RESNET)
    rows = [
        {"step": t, "validation_accuracy": accuracy * (1 - 0.8**t), "train_accuracy": accuracy * (1 - 0.7**t)}
        for t in range(1, 9)
    ]
    write_history(folder / "history.csv", rows)
    metrics = {"test_accuracy": accuracy, "test_loss": 0.16, "validation_accuracy": accuracy, "parameters": 19810}
    write_json(folder / "metrics.json", metrics)
    return folder / "metrics.json"


def prune(root, method, seed, accuracies, dataset="digits", dense=0.95, architecture=RESNET, **cost):
    """``accuracies``: sparsity → accuracy; ``cost``: seconds, peak_bytes, backward_passes."""
    folder = root / "prune" / dataset / method / f"seed{seed}"
    metrics = {"dense_test_accuracy": dense}
    sidecar(folder / "networks.json", architecture)
    for sparsity, accuracy in accuracies.items():
        metrics[f"test_accuracy/{sparsity}"] = accuracy
        metrics[f"test_accuracy_without_recalibration/{sparsity}"] = accuracy / 2
    measured = {"seconds": 10.0 + seed, "tuning_seconds": 20.0, "peak_bytes": 10**8, "backward_passes": 1200}
    write_json(folder / "cost.json", measured | cost)
    write_json(folder / "metrics.json", metrics)
    return folder / "metrics.json"


def federate(root, method, seed, loss, accuracy=0.9, dataset="digits"):
    folder = root / "federate" / dataset / method / f"seed{seed}"
    sidecar(folder / "model.json", TWO_BRANCH)
    rows = [
        {
            "step": t,
            "train_loss": loss + 2 * 0.7**t,
            "validation_loss": loss + 2 * 0.75**t,
            "validation_accuracy": accuracy * (1 - 0.8**t),
            "bytes": 1000 * t,
        }
        for t in range(1, 13)
    ]
    write_history(folder / "history.csv", rows)
    metrics = {
        "test_accuracy": accuracy, "test_loss": loss, "rounds": 12, "horizontal_devices": 12, "vertical_groups": 6,
        "training_samples": 1294, "bytes_horizontal": 6_000_000, "bytes_vertical": 9_000_000,
    }  # fmt: skip
    write_json(folder / "metrics.json", metrics)
    return folder / "metrics.json"


def gan(root, method, seed, fcd, dataset="digits"):
    folder = root / "gan" / dataset / method / f"seed{seed}"
    sidecar(folder / "generator.json", GENERATOR)
    write_history(
        folder / "history.csv", [{"step": t, "fcd_validation": fcd * (1 + 20 * 0.6**t)} for t in range(1, 11)]
    )
    noise = np.random.default_rng(seed).integers(0, 256, (128, 128), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "samples.png")
    metrics = {
        "fcd": fcd, "fcd_floor": 0.4, "fcd_noise": 180.0, "class_tv": 0.1, "bytes_raw_images": 0,
        "bytes_between_devices": 80_000_000, "bytes_server": 40_000_000, "macs_server": 10**9, "macs_devices": 10**10,
    }  # fmt: skip
    write_json(folder / "metrics.json", metrics)
    return folder / "metrics.json"


def export(root, variant, nonzero, dataset="digits"):
    path = root / "export" / dataset / f"{variant}.json"
    facts = {
        "sha256": SHA, "bytes": 90_000, "zstd_bytes": 4_000 + 4 * nonzero, "weights": 19_000, "nonzero": nonzero,
        "macs": 900_000, "sparse_macs": 45 * nonzero, "quantised": False,
    }  # fmt: skip
    write_json(path, {"facts": facts, "parity": {"max_abs": 2e-6}, "provenance": {}})
    return path


def model(name, correct, nonzero, speedup):
    """An entry of a benchmark's ``models``, of a file that `fishbone export` named and wrote.

    ``speedup``: (median, low, high) or None.
    """
    made = parse_name(name)
    return {
        "name": name,
        "method": made.method,
        "sparsity": made.fraction or 0.0,
        "int8": made.int8,
        "runtime": "onnxruntime",
        "notes": [],
        "predicted_ns": None,
        "status": "ok",
        "message": None,
        "cold": [{"load_ns": 9_000_000, "first_run_ns": 1_000_000, "peak_rss_bytes": 60_000_000}] * 3,
        "accuracy": {"correct": correct, "images": 359, "fraction": correct / 359, "low": correct / 359 - 0.03,
                     "high": min(1.0, correct / 359 + 0.02)},
        "latency": {"samples": 900, "rounds": 30, "min_ns": 90_000, "p50_ns": 100_000.0, "p90_ns": 120_000.0},
        "speedup": speedup and dict(zip(("median", "low", "high"), speedup, strict=True)),
        "facts": {"zstd_bytes": 4_000 + 4 * nonzero, "bytes": 90_000, "quantised": False},
    }  # fmt: skip


def bench(root, models, device="local", dataset="digits", status="ok", noise_floor=0.02):
    path = root / "bench" / dataset / f"{device}.json"
    write_json(
        path,
        {"device": device, "kind": "local", "status": status, "baseline": "dense", "noise_floor": noise_floor,
         "message": None if status == "ok" else "no answer within 600 s", "noisy": True,
         "disturbances": ["tasks waited for a CPU 12% of the time"], "procedure": {"threads": 1},
         "environment": {"onnxruntime": "1.31.1", "cpu": "AMD EPYC", "machine": "x86_64"}, "models": models},
    )  # fmt: skip
    return path


def everything(root):
    """All stages on `digits`, three seeds; FLS is better at 95 %, more horizontal members worse, the GANs alike."""
    rng = np.random.default_rng(0)
    files = [prepare(root)]
    curves = {
        "fls": {"0.5": 0.948, "0.8": 0.94, "0.9": 0.9, "0.95": 0.82},
        "obs": {"0.5": 0.948, "0.8": 0.938, "0.9": 0.86, "0.95": 0.65},
        "magnitude": {"0.5": 0.945, "0.8": 0.91, "0.9": 0.75, "0.95": 0.42},
    }
    for seed in range(3):
        files.append(train(root, seed, accuracy=0.95 + 0.01 * rng.standard_normal()))
        for method, curve in curves.items():
            noisy = {s: a + 0.01 * rng.standard_normal() for s, a in curve.items()}
            files.append(prune(root, method, seed, noisy))
        for method, loss in (("hovefl-12-6", 0.5), ("hovefl-6-12", 0.4), ("fedavg", 0.55), ("centralised", 0.2)):
            files.append(federate(root, method, seed, loss * (1 + 0.02 * rng.standard_normal()), 1 - loss / 2))
        for method in ("fsl_gan", "centralised"):
            files.append(gan(root, method, seed, 8 * (1 + 0.02 * rng.standard_normal())))
    models = [model("dense", 341, 19_000, None)]
    files.append(export(root, "dense", 19_000))
    for method, curve in curves.items():
        for sparsity, accuracy in list(curve.items())[1:]:
            nonzero = round(19_000 * (1 - float(sparsity)))
            files.append(export(root, f"{method}-{sparsity}", nonzero))
            middle = 1 + 0.01 * rng.standard_normal()
            models.append(
                model(f"{method}-{sparsity}", round(359 * accuracy), nonzero, (middle, middle - 0.02, middle + 0.03))
            )
    return [*files, bench(root, models)]
