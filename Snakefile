# Fishbone's only DAG. `snakemake` runs the quick study; `snakemake --config study=cifar10` another one.
# Each rule calls the verb of its own name: `python -m fishbone VERB`.
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, "src")

from fishbone.provenance import ledger, running
from fishbone.provenance.crosscheck import variants
from fishbone.provenance.params import job_params, load_study
from fishbone.provenance.sources import digest

from snakemake.utils import min_version

min_version("9.27")

# Jobs run these very sources, also where conda made their environment: Snakemake takes PYTHONPATH out of it. The prefix
# replaces Snakemake's own, `set -euo pipefail`.
shell.prefix(
    "set -euo pipefail;"
    f" export PYTHONPATH={shlex.quote(str(Path('src').resolve()))}"
    "${{PYTHONPATH:+:$PYTHONPATH}}; "
)

STUDY = str(config.get("study", "quick"))
config.update(load_study(STUDY))
# DVC runs one stage at a time: `--config stage=prune --allowed-rules all prune`.
STAGES = [config["stage"]] if "stage" in config else config["stages"]


wildcard_constraints:
    study=re.escape(STUDY),
    dataset="[^/]+",
    method="[^/]+",
    seed=r"\d+",


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/prune.smk"
include: "workflow/rules/federate.smk"
include: "workflow/rules/gan.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/bench.smk"
include: "workflow/rules/report.smk"


onstart:
    global LOCK  # held as long as Snakemake runs
    LOCK = running.acquire(STUDY)
    ledger.begin(STUDY)


rule all:
    default_target: True
    input:
        [target for stage in STAGES for target in TARGETS[stage]],
