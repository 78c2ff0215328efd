# Each trained network pruned by each method, to all sparsities on one trajectory.

TARGETS["prune"] = expand(
    "results/{study}/prune/{dataset}/{method}/seed{seed}/metrics.json",
    study=STUDY,
    dataset=config["prune"]["datasets"],
    method=config["prune"]["methods"],
    seed=config["prune"]["seeds"],
)


rule prune:
    input:
        data="results/{study}/prepare/{dataset}.npz",
        model="results/{study}/train/{dataset}/seed{seed}/model.safetensors",
        sidecar="results/{study}/train/{dataset}/seed{seed}/model.json",
    output:
        metrics="results/{study}/prune/{dataset}/{method}/seed{seed}/metrics.json",
        history="results/{study}/prune/{dataset}/{method}/seed{seed}/history.csv",
        cost="results/{study}/prune/{dataset}/{method}/seed{seed}/cost.json",
        networks="results/{study}/prune/{dataset}/{method}/seed{seed}/networks.safetensors",
        networks_sidecar="results/{study}/prune/{dataset}/{method}/seed{seed}/networks.json",
    log:
        "logs/{study}/prune/{dataset}/{method}/seed{seed}.log",
    benchmark:
        "logs/{study}/prune/{dataset}/{method}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: config["prune"]["threads"]
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        sources=digest("prune"),
        block=job_params("prune", config["prune"]),
        # Newer code does not resume what older code began.
        checkpoint=f"checkpoints/{{study}}/prune/{{dataset}}/{{method}}/seed{{seed}}-{digest('prune')}.safetensors",
        out=subpath(output.metrics, parent=True),
    shell:
        "python -m fishbone --sources {params.sources:q} prune --method {wildcards.method:q} --model {input.model:q} --data {input.data:q}"
        " --seed {wildcards.seed:q} --params {params.block:q} --checkpoint {params.checkpoint:q} --out {params.out:q}"
        " > {log:q} 2>&1"
