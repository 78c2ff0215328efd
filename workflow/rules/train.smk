# A network for each data set and seed.

TARGETS["train"] = expand(
    "results/{study}/train/{dataset}/seed{seed}/metrics.json",
    study=STUDY,
    dataset=config["train"]["datasets"],
    seed=config["train"]["seeds"],
)


rule train:
    input:
        data="results/{study}/prepare/{dataset}.npz",
    output:
        model="results/{study}/train/{dataset}/seed{seed}/model.safetensors",
        sidecar="results/{study}/train/{dataset}/seed{seed}/model.json",
        metrics="results/{study}/train/{dataset}/seed{seed}/metrics.json",
        history="results/{study}/train/{dataset}/seed{seed}/history.csv",
    log:
        "logs/{study}/train/{dataset}/seed{seed}.log",
    benchmark:
        "logs/{study}/train/{dataset}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: config["train"]["threads"]
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        sources=digest("train"),
        block=job_params("train", config["train"]),
        # Newer code does not resume what older code began.
        checkpoint=f"checkpoints/{{study}}/train/{{dataset}}/seed{{seed}}-{digest('train')}.safetensors",
        out=subpath(output.model, parent=True),
    # glibc otherwise gives every large tensor's pages back: fetching them again took a fifth of a training step.
    shell:
        "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184"
        " python -m fishbone train --data {input.data:q} --seed {wildcards.seed:q} --params {params.block:q}"
        " --checkpoint {params.checkpoint:q} --out {params.out:q} > {log:q} 2>&1"
