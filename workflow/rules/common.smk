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


def int8_of(variant):
    """`NETWORK-u8s8` → u8s8; others: None."""
    return variant.rsplit("-", 1)[-1] if variant.endswith(("-u8s8", "-s8s8")) else None


def channels_of(variant):
    """`channels-0.5` and `channels-0.5-u8s8` → 0.5; others: None."""
    words = variant.split("-")
    return words[1] if words[0] == "channels" else None


def exported(wildcards):
    """Weights, sidecar and (of a pruned network) mask of a variant; see rule `export` for their names."""
    seed = config["export"]["seed"]
    variant = wildcards.variant
    if int8_of(variant):
        variant = variant.rsplit("-", 1)[0]
    if variant == "dense" or channels_of(variant):
        stem = f"results/{wildcards.study}/train/{wildcards.dataset}/seed{seed}/model"
        return {"model": f"{stem}.safetensors", "sidecar": f"{stem}.json"}
    method, sparsity = variant.rsplit("-", 1)
    stem = f"results/{wildcards.study}/prune/{wildcards.dataset}/{method}/seed{seed}/{sparsity}"
    return {
        "model": f"{stem}.safetensors",
        "sidecar": f"{stem}.json",
        "mask": f"{stem}.mask.safetensors",
    }


def summaries(stage):
    """The JSON files of a stage that the report is made from."""
    if stage in ("prepare", "export"):
        return [re.sub(r"\.(npz|onnx)$", ".json", target) for target in TARGETS[stage]]
    return TARGETS[stage]


def beside(stage, *names):
    """Files of the same runs as the stage's metrics; none if the study does not run the stage."""
    runs = TARGETS[stage] if stage in config["stages"] else []
    return [run.replace("metrics.json", name) for run in runs for name in names]


def study_facts():
    """The study's parameters for the report's page, without the place of raw files on this machine."""
    study = load_study(STUDY)
    del study["prepare"]["root"]
    return json.dumps(study, sort_keys=True)
