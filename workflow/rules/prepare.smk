# A named data source → canonical arrays.


def prepare_params(wildcards):
    """Only the source of this data set, so that a further one reruns nothing."""
    block = config["prepare"]
    return job_params(
        "prepare",
        block
        | {"sources": {wildcards.dataset: block["sources"].get(wildcards.dataset)}},
    )


TARGETS["prepare"] = expand(
    "results/{study}/prepare/{dataset}.npz",
    study=STUDY,
    dataset=config["prepare"]["datasets"],
)


rule prepare:
    input:
        src=sources("prepare"),
    output:
        data="results/{study}/prepare/{dataset}.npz",
        summary="results/{study}/prepare/{dataset}.json",
    log:
        "logs/{study}/prepare/{dataset}.log",
    benchmark:
        "logs/{study}/prepare/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: config["prepare"]["threads"]
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        block=prepare_params,
    shell:
        "python -m fishbone prepare {wildcards.dataset} --params {params.block:q} --out {output.data} > {log} 2>&1"
