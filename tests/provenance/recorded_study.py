"""A project folder with a small study whose results look finished and recorded, for the price of writing them."""

import hashlib
import shutil
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "report"))
import small_study

from fishbone.provenance.params import STAGES, load_study

STUDY = "tiny"


def recorded_study(root: Path) -> Path:
    """``root`` with parameters, results of every stage, weights and a ``dvc.lock``; no git."""
    shutil.copy(PROJECT / "params.yaml", root)
    (root / "studies").mkdir()
    (root / "studies" / f"{STUDY}.yaml").write_text("train: {epochs: 3}\n")
    results = root / "results" / STUDY
    small_study.everything(results)
    (results / "prepare" / "digits.npz").write_bytes(b"images")
    (results / "train/digits/seed0/model.safetensors").write_bytes(b"weights")
    (results / "export/digits/dense.onnx").write_bytes(b"network")
    figure = results / "report/figures/prune.svg"
    figure.parent.mkdir(parents=True)
    figure.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
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
        stages[f"{STUDY}-{stage}"] = {"cmd": "", "outs": outs, "params": {"params.yaml": {stage: study[stage]}}}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
