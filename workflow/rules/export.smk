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
if "export" in config["stages"] and (unknown := set(INT8["networks"]) - set(VARIANTS)):
    raise InputError(
        "not among the exported networks",
        field="export.int8.networks",
        value=sorted(unknown),
        remedy=f"Take some of {', '.join(VARIANTS)}.",
    )
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
        channels=lambda wildcards: (
            f"--channels {found}" if (found := channels_of(wildcards.variant)) else ""
        ),
        int8=lambda wildcards: (
            f"--int8 {found}" if (found := int8_of(wildcards.variant)) else ""
        ),
    shell:
        "python -m fishbone export --model {input.model:q} {params.mask:q} {params.channels:q} {params.int8} --data {input.data:q}"
        " --params {params.block:q} --out {output.onnx:q} > {log:q} 2>&1"
