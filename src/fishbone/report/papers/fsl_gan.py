"""FSL-GAN: "Federated Split GANs", arXiv 2207.01750 (2022).

The abstract says "same accuracy" and no measure; here it is the Fréchet classifier distance (FCD) between generated
images and the test split, in the features of the study's own classifier. Lower is better.
"""

from collections.abc import Iterator
from statistics import fmean

from fishbone.report.intervals import paired
from fishbone.report.methods import METHODS
from fishbone.report.papers.setting import data_setting, network_setting
from fishbone.report.study import Study
from fishbone.report.verdict import Claim, Evidence, Statement, judge, not_tested

METHOD, REFERENCE = "fsl_gan", "centralised"
PAPER = METHODS[METHOD].paper


def claims(study: Study, comparable: float) -> Iterator[Claim]:
    """All claims of the paper.

    Args:
        study: all results of the study.
        comparable: an FCD higher by up to this fraction counts as the same.
    """
    yield from _as_good(study, comparable)
    yield not_tested(
        Statement(
            "fsl-gan-short-training-time",
            PAPER,
            "Sharing the discriminator out over weak devices keeps training short.",
            "“keeps a short training time” (real constrained devices; no number in the abstract)",
            "time of a training step",
        ),
        "A study's devices share one machine, whose times would say nothing; bytes and operations of each are counted.",
    )
    yield not_tested(
        Statement(
            "fsl-gan-preserves-privacy",
            PAPER,
            "Training preserves the privacy of the users' data.",
            "“preserves data privacy” (no number in the abstract)",
            "what others than the user learn of an image",
        ),
        "Every message is checked not to carry a raw image; that guards the protocol and is no proof of privacy.",
    )


def _as_good(study: Study, comparable: float) -> Iterator[Claim]:
    statement = Statement(
        "fsl-gan-equals-centralised",
        PAPER,
        f"FSL-GAN trains as good a generator as one unconstrained machine: its FCD is higher by less than "
        f"{comparable * 100:g} %.",
        "“yields same accuracy of model training in unconstrained devices” (no number in the abstract)",
        "FCD of FSL-GAN over that of centralised training, minus 1, in percent (geometric mean)",
    )
    pairs = {
        dataset: runs
        for dataset in study.datasets("gan")
        if all(runs := (study.runs("gan", dataset, METHOD), study.runs("gan", dataset, REFERENCE)))
    }
    if not pairs:
        found = ", ".join(study.names("gan"))
        why = f"The study has {found} only; this needs {METHOD} and {REFERENCE}." if found else "The study has no GAN."
        yield not_tested(statement, why)
    for dataset, (split, whole) in pairs.items():
        if fmean(run.content["fcd"] for run in whole.values()) >= fmean(
            run.content["fcd_noise"] for run in whole.values()
        ):
            yield not_tested(statement, f"On {dataset} the centralised generator is no better than noise.", dataset)
            continue
        if not all(run.content["fcd"] for runs in (split, whole) for run in runs.values()):
            yield not_tested(statement, f"On {dataset} an FCD is 0, which has no ratio.", dataset)
            continue
        values = paired(split, whole, lambda a, b: a.content["fcd"] / b.content["fcd"])
        run = next(iter(split.values()))
        parts = (
            data_setting(study, dataset, ("MNIST",)),
            network_setting(run, "generator.json", "DCGAN of width 64"),
            *_users(study),
            "the abstract names no measure",
        )
        artefacts = [runs[seed].artefact for seed in values for runs in (split, whole)]
        evidence = Evidence(dataset, values, "; ".join(parts) + ".", artefacts, ratios=True)
        yield judge(statement, evidence, "below", 100 * comparable)


def _users(study: Study) -> list[str]:
    params = study.params.get("gan")
    if not params:
        return []
    devices = sum(map(len, params["users"]))
    return [f"{len(params['users'])} users with {devices} devices in all, images {params['partition']}"]
