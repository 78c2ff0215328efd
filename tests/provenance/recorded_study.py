"""A project folder with a small study whose results look finished and recorded, for the price of writing them."""

import hashlib
import json
import shutil
from pathlib import Path

import yaml

from fishbone.files import write_history, write_json, write_text
from fishbone.provenance.params import STAGES, job_params, load_study

PROJECT = Path(__file__).resolve().parents[2]
STUDY = "tiny"
JOBS = 9


def recorded_study(root: Path) -> Path:
    """``root`` with parameters, results of every stage (weights, too) and a ``dvc.lock``; no git."""
    for name in ("params.yaml", "devices.yaml"):
        shutil.copy(PROJECT / name, root)
    write_text(root / "studies" / STUDY / "params.yaml", "train: {epochs: 3}\n")
    results = root / "results" / STUDY
    write_json(results / "prepare/digits.json", {"counts": {"train": 1294}})
    history = [{"step": t, "validation_accuracy": 1 - 0.8**t} for t in range(1, 9)]
    for folder, metrics in {
        "train/digits/seed0": {"test_accuracy": 0.95, "test_loss": 0.16},
        "prune/digits/fls/seed0": {"dense_test_accuracy": 0.95, "test_accuracy/0.5": 0.94, "test_accuracy/0.975": 0.9},
        "prune/digits/fls/seed1": {"dense_test_accuracy": 0.93, "test_accuracy/0.5": 0.92, "test_accuracy/0.975": 0.8},
        "federate/digits/hovefl-2-1/seed0": {"test_accuracy": 0.9},
        "gan/digits/fsl_gan/seed0": {"fcd": 8.0},
    }.items():
        write_json(results / folder / "metrics.json", metrics)
        write_history(results / folder / "history.csv", history)
    write_json(results / "export/digits/fls-0.975.json", {"facts": {"nonzero": 1900, "quantised": False}})
    write_json(results / "bench/digits/local.json", {"models": []})
    write_json(results / "bench/digits/local.metrics.json", {"fls-0.975/p50_ms": 0.1})
    for made in (
        "prepare/digits.npz", "train/digits/seed0/model.safetensors", "gan/digits/fsl_gan/seed0/samples.png",
        "export/digits/fls-0.975.onnx", "report/report.html", "report/figures/prune.svg",
    ):  # fmt: skip
        write_text(results / made, "made")
    record(root)
    return root


def record(root: Path) -> None:
    """``dvc.lock`` of what is there now."""
    study = load_study(STUDY, root)
    stages = {}
    for stage in STAGES:
        files = sorted(path for path in (root / "results" / STUDY / stage).rglob("*") if path.is_file())
        outs = [
            {"path": str(path.relative_to(root)), "md5": hashlib.md5(path.read_bytes()).hexdigest()} for path in files
        ]
        params = json.loads(job_params(stage, study[stage]))
        stages[stage] = {"cmd": "", "outs": outs, "params": {"resolved.yaml": {stage: {"params": params}}}}
    write_text(root / "studies" / STUDY / "dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": stages}))
