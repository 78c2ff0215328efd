# One seed's networks as ONNX: `dense`, and `METHOD-SPARSITY` for each pruning method and exported sparsity.

VARIANTS = ["dense"] + expand(
    "{method}-{sparsity}",
    method=config["prune"]["methods"],
    sparsity=config["export"]["sparsities"],
)
TARGETS["export"] = expand(
    "results/{study}/export/{dataset}/{variant}.onnx",
    study=STUDY,
    dataset=config["export"]["datasets"],
    variant=VARIANTS,
)


rule export:
    input:
        unpack(exported),
        data="results/{study}/prepare/{dataset}.npz",
        src=sources("export"),
    output:
        onnx="results/{study}/export/{dataset}/{variant}.onnx",
        facts="results/{study}/export/{dataset}/{variant}.json",
    log:
        "logs/{study}/export/{dataset}/{variant}.log",
    benchmark:
        "logs/{study}/export/{dataset}/{variant}.tsv"
    conda:
        "../../environment.yml"
    threads: config["export"]["threads"]
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        block=job_params("export", config["export"]),
        mask=lambda wildcards, input: (
            f"--mask {input.mask}" if "mask" in input.keys() else ""
        ),
    shell:
        "python -m fishbone export --model {input.model} {params.mask} --data {input.data}"
        " --params {params.block:q} --out {output.onnx} > {log} 2>&1"
