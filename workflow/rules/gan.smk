# FSL-GAN and its reference in one place, judged in the features of the study's own classifier.

TARGETS["gan"] = expand(
    "results/{study}/gan/{dataset}/{method}/seed{seed}/metrics.json",
    study=STUDY,
    dataset=config["gan"]["datasets"],
    method=config["gan"]["methods"],
    seed=config["gan"]["seeds"],
)


rule gan:
    input:
        data="results/{study}/prepare/{dataset}.npz",
        # One classifier for all seeds: distances in different feature spaces cannot be compared.
        classifier=f"results/{{study}}/train/{{dataset}}/seed{config['train']['seeds'][0]}/model.safetensors",
        sidecar=f"results/{{study}}/train/{{dataset}}/seed{config['train']['seeds'][0]}/model.json",
    output:
        metrics="results/{study}/gan/{dataset}/{method}/seed{seed}/metrics.json",
        history="results/{study}/gan/{dataset}/{method}/seed{seed}/history.csv",
        generator="results/{study}/gan/{dataset}/{method}/seed{seed}/generator.safetensors",
        generator_sidecar="results/{study}/gan/{dataset}/{method}/seed{seed}/generator.json",
        samples="results/{study}/gan/{dataset}/{method}/seed{seed}/samples.png",
    log:
        "logs/{study}/gan/{dataset}/{method}/seed{seed}.log",
    benchmark:
        "logs/{study}/gan/{dataset}/{method}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: config["gan"]["threads"]
    resources:
        mem_mb=8000,
        runtime=480,
    params:
        sources=digest("gan"),
        block=job_params("gan", config["gan"]),
        # Newer code does not resume what older code began.
        checkpoint=f"checkpoints/{{study}}/gan/{{dataset}}/{{method}}/seed{{seed}}-{digest('gan')}.safetensors",
        out=subpath(output.metrics, parent=True),
    shell:
        "python -m fishbone --sources {params.sources:q} gan --method {wildcards.method:q} --data {input.data:q} --classifier {input.classifier:q}"
        " --seed {wildcards.seed:q} --params {params.block:q} --checkpoint {params.checkpoint:q} --out {params.out:q}"
        " > {log:q} 2>&1"
