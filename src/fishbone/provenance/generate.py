"""``dvc.yaml`` and ``resolved.yaml`` of each study from the Snakefile: one DVC stage a rule.

``resolved.yaml`` holds what DVC compares of a stage besides files: its parameters with the overlay applied, the digest
of its sources and that of its rule's shell command. So no study can make another stale. The command runs that rule
alone. Outputs are never ``persist``: that blesses stale results.
"""

from pathlib import Path

import click
import yaml

from fishbone.files import write_text
from fishbone.provenance.dag import Job, jobs
from fishbone.provenance.lock import DUMPER, folder, studies
from fishbone.provenance.params import SCHEMA, merge, schema_text
from fishbone.provenance.study import require_project, study_option


class _Flow(dict):
    """A mapping that is written on one line."""


class _Dumper(DUMPER):
    """Writes `_Flow`."""


_Dumper.add_representer(
    _Flow, lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True)
)
HEADER = "# Generated from the Snakefile by `fishbone generate`; do not edit.\n"


def generated(study: str, members: list[Job]) -> dict[str, str]:
    """``{file name: its text}`` for the study whose jobs these are."""
    by_rule: dict[str, list[Job]] = {}
    for job in members:
        by_rule.setdefault(job.rule, []).append(job)
    stages = {rule: _stage(study, rule, own) for rule, own in by_rule.items()}
    blocks = {rule: _resolved(own) for rule, own in by_rule.items()}
    return {"dvc.yaml": _text({"stages": stages}), "resolved.yaml": _text(blocks)}


def _stage(study: str, rule: str, members: list[Job]) -> dict:
    outs = sorted(output for job in members for output in job.outputs)
    metrics = [out for out in outs if out.endswith("metrics.json")]
    histories = [out for out in outs if out.endswith("history.csv")]
    kinds = {
        "deps": sorted({path for job in members for path in job.inputs}),
        "outs": [out for out in outs if out not in {*metrics, *histories}],
        "metrics": metrics,
        "plots": [_Flow({out: {"x": "step"}}) for out in histories],
    }
    place = folder(study)
    return {
        "cmd": f"snakemake --config study={study} stage={rule} --allowed-rules all {rule}",
        **({} if place == Path() else {"wdir": "../.."}),
        "params": [_Flow({(place / "resolved.yaml").as_posix(): [rule]})],
        **{kind: listed for kind, listed in kinds.items() if listed},
    }


def _resolved(members: list[Job]) -> dict:
    params: dict = {}
    for job in members:
        params = merge(params, job.block)  # of a mapping, such as the sources, each job may hold its own part
    return {"rule": members[0].shell, "sources": members[0].sources, "params": params}


def _text(content: dict) -> str:
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=10**6)


def outdated(study: str, members: list[Job], root: Path = Path()) -> dict[Path, str]:
    """``{file: the text it should have}`` for those that have another."""
    texts = {folder(study, root) / name: text for name, text in generated(study, members).items()}
    return {file: text for file, text in texts.items() if not file.is_file() or file.read_text("utf-8") != text}


def generate(study: str, members: list[Job], root: Path = Path()) -> list[Path]:
    """Bring the study's generated files up to date; returns those that were not."""
    changed = outdated(study, members, root)
    for file, text in changed.items():
        write_text(file, text)
    return list(changed)


@click.command(epilog="Example: fishbone generate")
@study_option(None, "One study alone; without it all of them.")
def command(study: str | None) -> None:
    """Write dvc.yaml, resolved.yaml and the parameters' JSON schema from the Snakefile and the stages."""
    require_project()
    for name in [study] if study else studies():
        for file in generate(name, jobs(name)):
            click.echo(f"{file} written")
    write_text(SCHEMA, schema_text())
