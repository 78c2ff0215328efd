# Claims, tables, figures and the page, from the results of the stages that the study runs.

FIGURES = [
    stage
    for stage in ("train", "prune", "federate", "gan", "bench")
    if stage in config["stages"]
]
TABLES = [
    stage
    for stage in ("train", "prune", "federate", "gan", "export", "bench")
    if stage in config["stages"]
]
TARGETS["report"] = [f"results/{STUDY}/report/page.html"]


rule report:
    input:
        results=[
            path
            for stage in config["stages"]
            if stage != "report"
            for path in summaries(stage)
        ],
        train=beside("train", "history.csv"),
        prune=beside("prune", "history.csv", "cost.json"),
        federate=beside("federate", "history.csv"),
        gan=beside("gan", "history.csv", "samples.png"),
        sidecars=[
            *sidecars("train", "model.json"),
            *sidecars("prune", "networks.json"),
            *sidecars("federate", "model.json"),
            *sidecars("gan", "generator.json"),
        ],
    output:
        page="results/{study}/report/page.html",
        claims="results/{study}/report/claims.json",
        figures=[
            report(
                f"results/{{study}}/report/figures/{stage}.svg",
                caption=f"../report/{stage}.rst",
                category="Figures",
                labels={"stage": stage},
            )
            for stage in FIGURES
        ],
        tables=expand("results/{{study}}/report/tables/{stage}.csv", stage=TABLES),
    log:
        "logs/{study}/report/report.log",
    benchmark:
        "logs/{study}/report/report.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        sources=digest("report"),
        block=job_params("report", config["report"]),
        study=study_facts(),
        out=subpath(output.page, parent=True),
    shell:
        "python -m fishbone --sources {params.sources:q} report {input.results:q} --params {params.block:q} --study-params {params.study:q}"
        " --out {params.out:q} > {log:q} 2>&1"
