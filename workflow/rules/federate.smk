# HoVeFL for each mix of devices, and its references.

TARGETS["federate"] = expand(
    "results/{study}/federate/{dataset}/{method}/seed{seed}/metrics.json",
    study=STUDY,
    dataset=config["federate"]["datasets"],
    method=config["federate"]["methods"],
    seed=config["federate"]["seeds"],
)


rule federate:
    input:
        data="results/{study}/prepare/{dataset}.npz",
    output:
        metrics="results/{study}/federate/{dataset}/{method}/seed{seed}/metrics.json",
        history="results/{study}/federate/{dataset}/{method}/seed{seed}/history.csv",
        model="results/{study}/federate/{dataset}/{method}/seed{seed}/model.safetensors",
        sidecar="results/{study}/federate/{dataset}/{method}/seed{seed}/model.json",
    log:
        "logs/{study}/federate/{dataset}/{method}/seed{seed}.log",
    benchmark:
        "logs/{study}/federate/{dataset}/{method}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: config["federate"]["threads"]
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        sources=digest("federate"),
        block=job_params("federate", config["federate"]),
        # Newer code does not resume what older code began.
        checkpoint=f"checkpoints/{{study}}/federate/{{dataset}}/{{method}}/seed{{seed}}-{digest('federate')}.safetensors",
        out=subpath(output.metrics, parent=True),
    shell:
        "python -m fishbone --sources {params.sources:q} federate --method {wildcards.method:q} --data {input.data:q} --seed {wildcards.seed:q}"
        " --params {params.block:q} --checkpoint {params.checkpoint:q} --out {params.out:q} > {log:q} 2>&1"
