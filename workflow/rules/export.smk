# One seed's networks as ONNX: `dense`, and `METHOD-SPARSITY` for each pruning method and exported sparsity; some of them
# in int8 too, as `NETWORK-u8s8`, `NETWORK-s8s8` or `NETWORK-u8s7`; and `channels-FRACTION`, the dense one without some
# of its channels.

VARIANTS = variants(config)
TARGETS["export"] = expand(
    "results/{study}/export/{dataset}/{variant}.onnx",
    study=STUDY,
    dataset=config["export"]["datasets"],
    variant=VARIANTS,
)


# Pruned networks come from the files of these methods.
EXPORTED = config["prune"]["methods"] if config["export"]["sparsities"] else []


rule export:
    input:
        data="results/{study}/prepare/{dataset}.npz",
        model=f"results/{{study}}/train/{{dataset}}/seed{config['export']['seed']}/model.safetensors",
        sidecar=f"results/{{study}}/train/{{dataset}}/seed{config['export']['seed']}/model.json",
        networks=expand(
            "results/{{study}}/prune/{{dataset}}/{method}/seed{seed}/networks.safetensors",
            method=EXPORTED,
            seed=config["export"]["seed"],
        ),
        networks_sidecars=expand(
            "results/{{study}}/prune/{{dataset}}/{method}/seed{seed}/networks.json",
            method=EXPORTED,
            seed=config["export"]["seed"],
        ),
    output:
        onnx=expand(
            "results/{{study}}/export/{{dataset}}/{variant}.onnx", variant=VARIANTS
        ),
        facts=expand(
            "results/{{study}}/export/{{dataset}}/{variant}.json", variant=VARIANTS
        ),
    log:
        "logs/{study}/export/{dataset}.log",
    benchmark:
        "logs/{study}/export/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: config["export"]["threads"]
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        sources=digest("export"),
        block=job_params("export", config["export"]),
        variants=VARIANTS,
        networks=lambda wildcards, input: [
            word
            for method, file in zip(EXPORTED, input.networks)
            for word in ("--networks", method, file)
        ],
        out="results/{study}/export/{dataset}",
    shell:
        "python -m fishbone --sources {params.sources:q} export {params.variants:q} --model {input.model:q} {params.networks:q} --data {input.data:q}"
        " --params {params.block:q} --out {params.out:q} > {log:q} 2>&1"
