# All exported networks of a data set, taking turns on one device. Nothing else may run there meanwhile, which is for the
# profile to say: on one machine the job gets all cores, on a cluster a node of its own.

TARGETS["bench"] = expand(
    "results/{study}/bench/{dataset}/{device}.json",
    study=STUDY,
    dataset=config["export"]["datasets"],
    device=config["bench"]["devices"],
)


rule bench:
    input:
        data="results/{study}/prepare/{dataset}.npz",
        models=expand(
            "results/{{study}}/export/{{dataset}}/{variant}.onnx", variant=VARIANTS
        ),
        devices="devices.yaml",
    output:
        result="results/{study}/bench/{dataset}/{device}.json",
        metrics="results/{study}/bench/{dataset}/{device}.metrics.json",
    log:
        "logs/{study}/bench/{dataset}/{device}.log",
    benchmark:
        "logs/{study}/bench/{dataset}/{device}.tsv"
    conda:
        "../../environment.yml"
    threads: config["bench"]["threads"]
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        sources=digest("bench"),
        block=job_params("bench", config["bench"]),
        variants=VARIANTS,
    shell:
        "python -m fishbone --sources {params.sources:q} bench {input.models:q} --data {input.data:q} --devices {input.devices:q}"
        " --device {wildcards.device:q} --params {params.block:q} --out {output.result:q} --metrics {output.metrics:q}"
        " > {log:q} 2>&1"
