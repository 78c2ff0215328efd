"""``dvc.yaml`` from the Snakefile: one DVC stage a study and rule, named ``<study>-<rule>``.

The command runs that rule alone (``--allowed-rules``); the digest of the rule's shell text in a trailing comment
makes an edited rule visible to DVC. Outputs are never ``persist``: that blesses stale results.
"""

import hashlib
from pathlib import Path

import click
import yaml

from fishbone.errors import InputError
from fishbone.files import write_text
from fishbone.provenance.dag import Job, jobs
from fishbone.provenance.lock import DUMPER, parsed
from fishbone.provenance.params import QUICK

HEADER = "# Generated from the Snakefile by `fishbone generate`; do not edit.\n"


def studies(root: Path = Path()) -> list[str]:
    return [QUICK, *sorted(path.stem for path in (root / "studies").glob("*.yaml"))]


def dvc_yaml(root: Path = Path()) -> str:
    """The text of ``dvc.yaml`` for all studies of the project."""
    stages: dict[str, dict] = {}
    metrics: list[str] = []
    plots: list[dict] = []
    for study in studies(root):
        by_rule: dict[str, list[Job]] = {}
        for job in jobs(study, root):
            by_rule.setdefault(job.rule, []).append(job)
        for rule, members in by_rule.items():
            stages[f"{study}-{rule}"] = _stage(study, rule, members, root)
            outputs = sorted(output for job in members for output in job.outputs)
            metrics += [output for output in outputs if output.endswith("metrics.json")]
            plots += [{output: {"x": "step"}} for output in outputs if output.endswith("history.csv")]
    content = {"stages": stages, "metrics": metrics, "plots": plots}
    return HEADER + yaml.dump(content, Dumper=DUMPER, sort_keys=False, width=10**6)


def _stage(study: str, rule: str, members: list[Job], root: Path) -> dict:
    outputs = sorted(output for job in members for output in job.outputs)
    # One target a job is enough, and keeps the command line short.
    targets = " ".join(sorted(job.outputs[0] for job in members))
    digest = hashlib.sha256(members[0].shell.encode()).hexdigest()[:12]
    params: list = [rule]
    overlay = root / "studies" / f"{study}.yaml"
    # DVC refuses a key that a file lacks, so the overlay is named only where it says something of this rule.
    if overlay.is_file() and rule in parsed(overlay):
        params.append({f"studies/{study}.yaml": [rule]})
    return {
        "cmd": f"snakemake --config study={study} --allowed-rules {rule} -- {targets}  # {digest}",
        "deps": sorted({path for job in members for path in job.inputs}),
        "params": params,
        "outs": outputs,
    }


def check(root: Path = Path()) -> None:
    """Raises `InputError` when ``dvc.yaml`` is not what the Snakefile says."""
    path = root / "dvc.yaml"
    if not path.is_file() or path.read_text(encoding="utf-8") != dvc_yaml(root):
        raise InputError("out of step with the Snakefile", file="dvc.yaml", remedy="Run `fishbone generate`.")


@click.command(epilog="Example: fishbone generate")
def command() -> None:
    """Write dvc.yaml and the parameters' JSON schema from the Snakefile and the stages."""
    from fishbone.provenance.params import SCHEMA, schema_text

    write_text("dvc.yaml", dvc_yaml())
    write_text(SCHEMA, schema_text())
    click.echo(f"dvc.yaml and {SCHEMA} written")
