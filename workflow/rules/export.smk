# One seed's networks as ONNX: `dense`, and `METHOD-SPARSITY` for each pruning method and exported sparsity; some of them
# in int8 too, as `NETWORK-u8s8` or `NETWORK-s8s8`; and `channels-FRACTION`, the dense one without some of its channels.

VARIANTS = ["dense"] + expand(
    "{method}-{sparsity}",
    method=config["prune"]["methods"],
    sparsity=config["export"]["sparsities"],
)
VARIANTS += expand(
    "channels-{fraction}", fraction=config["export"]["channel_fractions"]
)
INT8 = config["export"]["int8"]
VARIANTS += expand(
    "{network}-{activations}",
    network=INT8["networks"],
    activations=INT8["activations"],
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
        sources=digest("export"),
        block=job_params("export", config["export"]),
        mask=lambda wildcards, input: (
            f"--mask {input.mask}" if "mask" in input.keys() else ""
        ),
        channels=lambda wildcards: (
            f"--channels {found}" if (found := channels_of(wildcards.variant)) else ""
        ),
        int8=lambda wildcards: (
            f"--int8 {found}" if (found := int8_of(wildcards.variant)) else ""
        ),
    shell:
        "python -m fishbone export --model {input.model} {params.mask} {params.channels} {params.int8} --data {input.data}"
        " --params {params.block:q} --out {output.onnx} > {log} 2>&1"
