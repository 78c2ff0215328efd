import pytest
from report import small_study

from fishbone.report.papers import fls, fsl_gan, hovefl
from fishbone.report.papers.setting import network_name
from fishbone.report.study import read_study

PARAMS = {"federate": {"horizontal_partition": "shards-2", "vertical_partition": "iid"}}


def pruned(root, curves, **more):
    """``curves``: method → sparsity → accuracies by seed."""
    return [
        small_study.prune(root, method, seed, {s: values[seed] for s, values in curve.items()}, **more)
        for method, curve in curves.items()
        for seed in range(len(next(iter(curve.values()))))
    ]


def claims_on_pruning(files, comparable=0.01):
    return {claim.id: claim for claim in fls.claims(read_study(files, {}), comparable)}


CURVES = {
    "fls": {"0.8": [0.90, 0.91, 0.92], "0.95": [0.80, 0.83, 0.83]},
    "obs": {"0.8": [0.90, 0.92, 0.91], "0.95": [0.60, 0.61, 0.62]},
}


def test_fls_is_compared_with_obs_seed_by_seed_in_percentage_points(tmp_path):
    found = claims_on_pruning([small_study.prepare(tmp_path / "s"), *pruned(tmp_path / "s", CURVES)])
    claim = found["fls-over-obs-95@digits"]
    assert claim.measured == pytest.approx((20 + 22 + 21) / 3)
    assert claim.verdict == "holds"
    assert claim.seeds == [0, 1, 2]
    assert len(claim.artefacts) == 6
    assert "digits (1,294 training images) instead of CIFAR-10; ResNet8 of width 8 instead of ResNet18" in claim.setting
    even = found["fls-over-obs-80@digits"]
    assert even.measured == pytest.approx(0)
    assert (even.verdict, even.why[:12]) == ("not tested", "inconclusive")
    grows = found["fls-gain-grows-with-sparsity@digits"]
    assert grows.measured == pytest.approx((20 + 23 + 20) / 3)
    comparable = found["fls-comparable-to-obs@digits"]
    assert comparable.measured == pytest.approx((10 + 10.5 + 11) / 3)
    assert found["fls-over-mfac-75"].verdict == "not tested"


def test_a_worse_fls_fails(tmp_path):
    swapped = {"fls": CURVES["obs"], "obs": CURVES["fls"]}
    found = claims_on_pruning(pruned(tmp_path / "s", swapped))
    for claim in ("fls-over-obs-95", "fls-gain-grows-with-sparsity", "fls-comparable-to-obs"):
        assert found[f"{claim}@digits"].verdict == "fails"


def test_a_little_worse_is_comparable_within_the_margin_only(tmp_path):
    curves = {"fls": {"0.9": [0.900, 0.901, 0.899]}, "obs": {"0.9": [0.905, 0.906, 0.904]}}
    files = pruned(tmp_path / "s", curves)
    assert claims_on_pruning(files, 0.01)["fls-comparable-to-obs@digits"].verdict == "holds"
    assert claims_on_pruning(files, 0.001)["fls-comparable-to-obs@digits"].verdict == "fails"


def test_the_papers_own_data_and_network_are_recognised(tmp_path):
    resnet18 = {"name": "resnet", "depth": 18, "width": 64, "channels": 3, "classes": 10}
    prepared = small_study.prepare(tmp_path / "s", "mine", source="cifar10", train=45_000)
    files = pruned(tmp_path / "s", CURVES, dataset="mine", architecture=resnet18)
    setting = claims_on_pruning([prepared, *files])["fls-over-obs-95@mine"].setting
    assert setting.startswith("mine (45,000 training images), as in the paper; ResNet18, as in the paper;")


def test_how_the_curvature_was_taken_is_said(tmp_path):
    files = pruned(tmp_path / "s", CURVES)
    for steps, temperature, said in (
        (100, 1.0, "FLS learnt in 100 steps; 1,000 images for the Fisher matrix; batch"),
        (0, 4.0, "FLS at its closed-form start, nothing learnt; 1,000 images for the Fisher matrix, its softmax at "
                 "temperature 4; batch"),
    ):  # fmt: skip
        block = {"fls": {"first_steps": steps}, "temperature": temperature, "curvature_images": 1000}
        found = fls.claims(read_study(files, {"prune": block}), 0.01)
        assert said in next(claim.setting for claim in found if claim.id == "fls-over-obs-95@digits")


def test_what_a_study_lacks_is_said(tmp_path):
    nothing = claims_on_pruning([small_study.prepare(tmp_path / "s")])
    assert nothing["fls-over-obs-95"].why == "The study prunes nothing; this needs fls and obs."
    alone = claims_on_pruning(pruned(tmp_path / "t", {"fls": {"0.9": [0.9, 0.9]}, "magnitude": {"0.9": [0.8, 0.8]}}))
    assert alone["fls-over-obs-95"].why == "The study prunes with fls, magnitude only; this needs fls and obs."
    short = claims_on_pruning(pruned(tmp_path / "u", {m: {"0.9": [0.9, 0.8]} for m in ("fls", "obs")}))
    assert short["fls-over-obs-95@digits"].why == "Sparsities that both methods reach on digits: 0.9."
    assert short["fls-gain-grows-with-sparsity@digits"].verdict == "not tested"


def test_seeds_without_a_partner_are_left_out(tmp_path):
    fls_runs, obs_runs = (pruned(tmp_path / "s", {method: CURVES[method]}) for method in ("fls", "obs"))
    claim = claims_on_pruning([*fls_runs, *obs_runs[1:]])["fls-over-obs-95@digits"]
    assert claim.seeds == [1, 2]
    assert claim.measured == pytest.approx((22 + 21) / 2)


def test_hovefl_compares_the_ratio_of_test_losses(tmp_path):
    losses = {"hovefl-12-6": [0.55, 0.66, 0.60], "hovefl-6-12": [0.50, 0.55, 0.50], "fedavg": [9.0, 9.0, 9.0]}
    files = [
        small_study.federate(tmp_path / "s", method, seed, loss)
        for method, values in losses.items()
        for seed, loss in enumerate(values)
    ]
    (claim,) = hovefl.claims(read_study(files, PARAMS))
    assert claim.measured == pytest.approx(100 * ((1.1 * 1.2 * 1.2) ** (1 / 3) - 1))
    assert claim.verdict == "holds"
    assert "horizontal devices' data shards-2, vertical groups' iid, so the mix also sets" in claim.setting


@pytest.mark.parametrize(
    ("methods", "pair"),
    [
        (["fedavg", "hovefl-6-12", "hovefl-12-6", "hovefl-16-2", "hovefl-2-16"], ("hovefl-12-6", "hovefl-6-12")),
        (["hovefl-4-2", "hovefl-2-4"], ("hovefl-4-2", "hovefl-2-4")),
        (["hovefl-9-9", "hovefl-12-6", "hovefl-4-8", "centralised"], None),
    ],
)
def test_the_mirrored_pair_nearest_to_the_papers(methods, pair):
    assert hovefl.mirrored(methods) == pair


def test_hovefl_without_a_mirrored_pair_is_not_tested(tmp_path):
    study = read_study([small_study.federate(tmp_path / "s", "fedavg", 0, 0.5)], {})
    (claim,) = hovefl.claims(study)
    assert (claim.verdict, claim.measured) == ("not tested", None)


@pytest.mark.parametrize(
    ("split", "verdict"),
    [([10.1, 10.2, 10.0], "holds"), ([14.0, 14.2, 13.8], "fails"), ([8.0, 11.0, 14.0], "not tested")],
)
def test_fsl_gan_may_be_better_or_a_little_worse_than_centralised(tmp_path, split, verdict):
    files = [small_study.gan(tmp_path / "s", "fsl_gan", seed, fcd) for seed, fcd in enumerate(split)]
    files += [small_study.gan(tmp_path / "s", "centralised", seed, 10.0) for seed in range(3)]
    claims = {claim.id: claim for claim in fsl_gan.claims(read_study(files, {}), 0.1)}
    assert claims["fsl-gan-equals-centralised@digits"].verdict == verdict
    assert claims["fsl-gan-preserves-privacy"].verdict == "not tested"


def test_generators_that_learned_nothing_are_not_compared(tmp_path):
    files = [
        small_study.gan(tmp_path / "s", method, seed, 200.0)
        for method in ("fsl_gan", "centralised")
        for seed in range(3)
    ]
    claim = next(iter(fsl_gan.claims(read_study(files, {}), 0.1)))
    assert (claim.verdict, claim.why) == ("not tested", "On digits the centralised generator is no better than noise.")


@pytest.mark.parametrize("worse", [0, 1])
def test_a_result_of_0_has_no_ratio(tmp_path, worse):
    values = (0.0, 0.5) if worse else (0.5, 0.0)
    files = [
        small_study.federate(tmp_path / "s", f"hovefl-{mix}", seed, value)
        for mix, value in zip(("12-6", "6-12"), values, strict=True)
        for seed in range(2)
    ]
    files += [
        small_study.gan(tmp_path / "s", method, seed, value)
        for method, value in zip(("fsl_gan", "centralised"), values, strict=True)
        for seed in range(2)
    ]
    study = read_study(files, {})
    for claim in (next(hovefl.claims(study)), next(fsl_gan.claims(study, 0.1))):
        assert (claim.verdict, claim.measured) == ("not tested", None)
        assert claim.why.endswith("is 0, which has no ratio.")


def test_networks_have_names_for_people():
    assert network_name(small_study.RESNET) == "ResNet8 of width 8"
    assert network_name(small_study.TWO_BRANCH) == "2-branch network (embedding 32)"
    assert network_name({"name": "mine"}) == "mine"


FULL = {"0.8": [0.90, 0.91, 0.92], "0.95": [0.80, 0.81, 0.82]}


def lower(curve, *losses):
    return {s: [value - loss for value, loss in zip(values, losses, strict=True)] for s, values in curve.items()}


def test_noise_is_what_a_tenth_of_the_images_costs(tmp_path):
    few_fls, few_obs = lower(FULL, 0.01, 0.02, 0.01), lower(FULL, 0.05, 0.05, 0.06)
    curves = {"fls": FULL, "fls-tenth": few_fls, "obs": FULL, "obs-tenth": few_obs}
    claim = claims_on_pruning(pruned(tmp_path / "s", curves))["fls-stands-noise-better@digits"]
    assert claim.measured == pytest.approx((-4 - 3 - 5) / 3)
    assert claim.verdict == "holds"
    assert len(claim.artefacts) == 12
    without = claims_on_pruning(pruned(tmp_path / "t", {"fls": FULL, "obs": FULL}))
    assert without["fls-stands-noise-better"].verdict == "not tested"


def test_variants_of_fls_are_no_baselines(tmp_path):
    found = claims_on_pruning(pruned(tmp_path / "s", dict.fromkeys(("fls", "fls-start", "chita", "obs-tenth"), FULL)))
    assert {i for i in found if "comparable" in i} == {"fls-comparable-to-chita@digits"}


def test_assimilation_is_judged_on_accuracy_and_on_time(tmp_path):
    root, files = tmp_path / "s", []
    for seed in range(3):
        accuracies = {s: values[seed] for s, values in FULL.items()}
        files.append(small_study.prune(root, "fls-renewed", seed, accuracies, seconds=40.0))
        files.append(small_study.prune(root, "fls-assimilated", seed, accuracies, seconds=10.0 + seed))
    found = claims_on_pruning(files)
    assert found["fls-assimilation-keeps-accuracy@digits"].measured == pytest.approx(0)
    assert found["fls-assimilation-keeps-accuracy@digits"].verdict == "holds"
    cheaper = found["fls-assimilation-is-cheaper@digits"]
    assert cheaper.measured == pytest.approx(100 * ((10 * 11 * 12) ** (1 / 3) / 40 - 1))
    assert cheaper.verdict == "holds"


def test_memory_is_compared_run_by_run_and_only_where_measured(tmp_path):
    root, files = tmp_path / "s", []
    for seed in range(3):
        files.append(small_study.prune(root, "fls", seed, {"0.9": 0.9}, peak_bytes=2 * 10**8 + seed))
        files.append(small_study.prune(root, "obs", seed, {"0.9": 0.9}, peak_bytes=10**8 if seed else None))
    claim = claims_on_pruning(files)["fls-memory-below-obs@digits"]
    assert claim.seeds == [1, 2]
    assert claim.measured == pytest.approx(100, rel=1e-3)
    assert claim.verdict == "fails"


def test_claims_of_several_data_sets_that_say_nothing_have_ids_of_their_own(tmp_path):
    files = [
        file
        for dataset in ("a", "b")
        for file in [
            *pruned(tmp_path / "s", {m: {"0.9": [0.9, 0.8]} for m in ("fls", "obs")}, dataset=dataset),
            small_study.federate(tmp_path / "s", "fedavg", 0, 0.5, dataset=dataset),
            *(small_study.gan(tmp_path / "s", m, 0, 200.0, dataset=dataset) for m in ("fsl_gan", "centralised")),
        ]
    ]
    study = read_study(files, {})
    ids = [
        claim.id
        for claims in (fls.claims(study, 0.01), hovefl.claims(study), fsl_gan.claims(study, 0.1))
        for claim in claims
    ]
    assert len(ids) == len(set(ids))
    assert {"fls-over-obs-95@a", "hovefl-more-horizontal-higher-loss@b", "fsl-gan-equals-centralised@b"} <= set(ids)
