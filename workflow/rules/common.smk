# What rules share: their targets, and the functions that find their inputs.
import json

TARGETS = {}


def prepare_params(wildcards):
    """Only the source of this data set, so that a further one reruns nothing."""
    block = config["prepare"]
    return job_params(
        "prepare",
        block
        | {"sources": {wildcards.dataset: block["sources"].get(wildcards.dataset)}},
    )


def summaries(stage):
    """The JSON files of a stage that the report is made from."""
    if stage in ("prepare", "export"):
        return [re.sub(r"\.(npz|onnx)$", ".json", target) for target in TARGETS[stage]]
    return TARGETS[stage]


def beside(stage, *names):
    """Files of the same runs as the stage's metrics; none if the study does not run the stage."""
    runs = TARGETS[stage] if stage in config["stages"] else []
    return [run.replace("metrics.json", name) for run in runs for name in names]


def sidecars(stage, name):
    """Descriptions of the networks of the first seed: the others' are the same but for their hashes."""
    first = f"/seed{min(config[stage]['seeds'])}/"
    return [file for file in beside(stage, name) if first in file]


def study_facts():
    """The study's parameters for the report's page, without the place of raw files on this machine."""
    study = load_study(STUDY)
    del study["prepare"]["root"]
    return json.dumps(study, sort_keys=True)
