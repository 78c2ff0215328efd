# A named data source → canonical arrays.

TARGETS["prepare"] = expand(
    "results/{study}/prepare/{dataset}.npz",
    study=STUDY,
    dataset=config["prepare"]["datasets"],
)


rule prepare:
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
        sources=digest("prepare"),
        block=prepare_params,
    shell:
        "python -m fishbone --sources {params.sources:q} prepare {wildcards.dataset:q} --params {params.block:q} --out {output.data:q} > {log:q} 2>&1"
