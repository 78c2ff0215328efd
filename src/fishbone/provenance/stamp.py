"""The report as people open it: the recorded page, with the run that wrote it."""

import os
import platform
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from fishbone.bench.agent import environment
from fishbone.files import sha256, write_text
from fishbone.provenance.lock import folder
from fishbone.provenance.track import finished
from fishbone.report import stamped
from fishbone.report.page import RUN

PACKAGES = ("fishbone", "torch", "numpy", "onnx", "onnxruntime", "snakemake", "dvc", "mlflow")


def stamp(study: str, code: dict[str, str], anew: bool, root: Path = Path()) -> Path:
    """``report.html`` of a finished study; written ``anew``, or where it is not what was written of the page.

    Args:
        study: name of the study, such as ``quick``.
        code: what `fishbone.provenance.code.code_state` told before the run.
        root: the folder of the project.
    """
    report = root / "results" / study / "report"
    target = report / "report.html"
    before, _, after = (report / "page.html").read_text(encoding="utf-8").partition(RUN)
    text = target.read_text(encoding="utf-8") if target.is_file() else ""
    written = root / ".snakemake" / "fishbone" / f"{study}.report"
    ours = written.is_file() and target.is_file() and written.read_text(encoding="utf-8") == sha256(target)
    if not anew and ours and text.startswith(before) and text.endswith(after):
        return target
    stamped.write(report / "page.html", facts(study, code, root))
    write_text(written, sha256(target))
    return target


def facts(study: str, code: dict[str, str], root: Path) -> dict[str, str]:
    """What a reader asks of a run, by name."""
    edited = {"true": ", with edits that were not committed", "false": ""}.get(code["dirty"], "")
    processor = environment()["cpu"] or platform.machine()
    versions = [f"{name} {version(name)}" for name in PACKAGES]
    digests = [run.digest for run in finished(study, root) if run.job == "report"]
    return {
        "study": study,
        "commit": code["commit"] + edited,
        "record": f"{folder(study) / 'dvc.lock'}, SHA-256 {sha256(folder(study, root) / 'dvc.lock')[:16]}",
        "date": datetime.now().astimezone().isoformat(" ", "minutes"),
        "machine": f"{processor}, {os.cpu_count()} processors, {platform.system()} {platform.machine()}",
        "versions": ", ".join([f"Python {platform.python_version()}", *versions]),
        "MLflow": f"experiment fishbone/{study}" + "".join(f", run with stage.digest {digest}" for digest in digests),
    }
