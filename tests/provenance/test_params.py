import copy
from pathlib import Path

import jsonschema
import pytest
import yaml

from fishbone.errors import InputError
from fishbone.provenance.crosscheck import networks, variants
from fishbone.provenance.params import job_params, load_study, schema
from fishbone.provenance.study import check_study_name

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "studies/mine").mkdir(parents=True)
    for name in ("params.yaml", "devices.yaml"):
        (tmp_path / name).write_text((PROJECT / name).read_text())
    return tmp_path


def write(project, overlay) -> None:
    (project / "studies/mine/params.yaml").write_text(yaml.safe_dump(overlay))


def test_overlay_replaces_what_it_names_at_any_depth(project):
    write(project, {"train": {"epochs": 3}})
    quick, mine = load_study("quick", project), load_study("mine", project)
    assert mine["train"]["epochs"] == 3
    mine["train"]["epochs"] = quick["train"]["epochs"]
    assert mine == quick


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"train": {"epochs": 0}}, r"^studies/mine/params.yaml: train.epochs: .*greater than or equal to 1 \(got 0\)"),
        ({"train": {"epoch": 3}}, r"^studies/mine/params.yaml: train.epoch: unknown key \(got 3\)"),
        (
            {"train": {"learning_rate": "1e-3"}},
            r"^studies/mine/params.yaml: train.learning_rate: .*YAML 1.1 reads this as text",
        ),
        (
            {"stages": ["prepare", "fly"]},
            r"^studies/mine/params.yaml: stages: not a list of stages \(got \['prepare', 'fly'\]\)",
        ),
        ({"trane": {}}, r"^studies/mine/params.yaml: trane: unknown key"),
        ({"train": None}, r"^studies/mine/params.yaml: train: "),
    ],
)
def test_mistake_in_an_overlay_names_that_file_the_key_the_value_and_the_remedy(project, overlay, message):
    write(project, overlay)
    with pytest.raises(InputError, match=message):
        load_study("mine", project)


def test_mistake_in_the_base_is_blamed_on_the_base(project):
    write(project, {"train": {"epochs": 3}})
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("depth: 8", "depth: eight"))
    with pytest.raises(InputError, match=r"^params.yaml: train.depth: .*integer \(got 'eight'\)"):
        load_study("mine", project)


def test_broken_yaml_names_file_and_line(project):
    (project / "studies/mine/params.yaml").write_text("train:\n  epochs: [1,\n")
    with pytest.raises(InputError, match=r"(?s)mine/params.yaml: not valid YAML.*line \d"):
        load_study("mine", project)


TWICE = [
    ("train", "seeds", [0, 0, 0]),
    ("prune", "seeds", [1, 0, 1]),
    ("federate", "methods", ["fedavg", "fedavg"]),
    ("gan", "methods", ["fsl_gan", "fsl_gan"]),
    ("prune", "methods", ["fls", "fls"]),
    ("prepare", "datasets", ["mnist5k", "mnist5k"]),
    ("prune", "sparsities", [0.5, 0.5]),
    ("prune", "gammas", [0.001, 1.0e-3]),
    ("export", "sparsities", [0.8, 0.80]),
    ("export", "channel_fractions", [0.5, 0.5]),
    ("bench", "devices", ["local", "local"]),
]


@pytest.mark.parametrize(("stage", "key", "values"), TWICE)
def test_a_value_that_is_twice_in_a_list_is_refused(project, stage, key, values):
    write(project, {stage: {key: values}})
    with pytest.raises(InputError, match=rf"^studies/mine/params.yaml: {stage}.{key}: .*there once.*got \["):
        load_study("mine", project)


def test_a_stage_that_is_twice_in_the_list_is_refused(project):
    write(project, {"stages": ["prepare", "train", "train"]})
    with pytest.raises(InputError, match=r"^studies/mine/params.yaml: stages: a stage is there twice .* each once"):
        load_study("mine", project)


@pytest.mark.parametrize("text", ["train:\n  epochs: 3\n  epochs: 4\n", "train: {epochs: 3}\ntrain: {epochs: 4}\n"])
def test_a_key_that_is_twice_in_a_file_is_refused_with_its_line(project, text):
    (project / "studies/mine/params.yaml").write_text(text)
    with pytest.raises(
        InputError, match=r"mine/params.yaml: not valid YAML: key '(epochs|train)' is there twice, line \d"
    ):
        load_study("mine", project)


@pytest.mark.parametrize("text", ["train: &a\n  epochs: *a\n", "report: {title: 2024-01-01}\n", "report: \xff\n"])
def test_yaml_that_no_parameter_can_be_is_refused(project, text):
    (project / "studies/mine/params.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"mine/params.yaml: (holds what parameters cannot be|not valid YAML)"):
        load_study("mine", project)


def test_a_key_beside_a_merged_one_of_its_name_is_not_there_twice(project):
    (project / "studies/mine/params.yaml").write_text("gan: &a {rounds: 3}\nfederate: {<<: *a, rounds: 2}\n")
    study = load_study("mine", project)
    assert (study["gan"]["rounds"], study["federate"]["rounds"]) == (3, 2)


OUT_OF_RANGE = [
    ("train", "seeds", [-1], r"train.seeds.0: .*greater than or equal to 0 \(got -1\)"),
    ("train", "threads", 10000, r"train.threads: .*less than or equal to 1024 \(got 10000\)"),
    ("bench", "threads", 10000, r"bench.threads: "),
    ("prepare", "threads", 0, r"prepare.threads: "),
    ("export", "seed", -1, r"export.seed: "),
    ("prune", "sparsities", [0.00001], r"prune.sparsities.0: "),
    ("federate", "methods", ["hovefl-012-6"], r"federate.methods.0: "),
    ("federate", "methods", ["hovefl-12-7"], r"federate.methods: .*as many members as `members`, 18 \(got \["),
]


@pytest.mark.parametrize(("stage", "key", "value", "message"), OUT_OF_RANGE)
def test_numbers_out_of_what_makes_sense_are_refused(project, stage, key, value, message):
    write(project, {stage: {key: value}})
    with pytest.raises(InputError, match=f"^studies/mine/params.yaml: {message}"):
        load_study("mine", project)


NAMES = ["$(touch X)", "a b", "../a", "a/b", "a..b", "-rf", ".a", "a.", "", "a'b", "{study}", "a\n", "a" * 101, "é"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_a_path_or_a_shell_could_misread_is_refused_where_it_enters(project, name):
    sources = {"prepare": {"datasets": [name], "sources": {name: {"kind": "digits"}}}}
    for overlay in (sources, {"train": {"datasets": [name]}}, {"bench": {"devices": [name]}}):
        write(project, overlay)
        with pytest.raises(InputError, match=r"^studies/mine/params.yaml: (prepare|train|bench)\."):
            load_study("mine", project)


NONSENSE = [
    ({"prepare": {"datasets": ["digitz"]}}, r"prepare.datasets: not among prepare.sources \(got 'digitz'\).*mnist5k"),
    ({"train": {"datasets": ["digits"]}}, r"train.datasets: not among prepare.datasets \(got 'digits'\)"),
    ({"federate": {"datasets": ["digits"]}}, r"federate.datasets: not among prepare.datasets \(got 'digits'\)"),
    ({"gan": {"datasets": ["digits"]}}, r"gan.datasets: not among train.datasets \(got 'digits'\)"),
    ({"prune": {"seeds": [0, 3]}}, r"prune.seeds: not among train.seeds \(got 3\)"),
    ({"export": {"seed": 7}}, r"export.seed: not among train.seeds \(got 7\)"),
    ({"prune": {"seeds": [1]}, "export": {"seed": 0}}, r"export.seed: not among prune.seeds \(got 0\)"),
    ({"export": {"sparsities": [0.85]}}, r"export.sparsities: not among prune.sparsities \(got 0.85\)"),
    ({"export": {"int8": {"networks": ["fls-0.5"]}}}, r"export.int8.networks: .*\(got 'fls-0.5'\).*fls-0.95"),
    ({"bench": {"devices": ["pi"]}}, r"bench.devices: not among devices.yaml \(got 'pi'\)\. Take of local,"),
    ({"stages": ["train"]}, r"stages: train needs what prepare makes"),
    ({"stages": ["prepare", "prune"]}, r"stages: prune needs what train makes"),
    ({"stages": ["prepare", "train", "export"]}, r"stages: export of pruned networks needs what prune makes"),
    ({"stages": ["prepare", "train", "bench"]}, r"stages: bench needs what export makes"),
    ({"stages": ["report"]}, r"stages: report needs what prepare makes"),
]


@pytest.mark.parametrize(("overlay", "message"), NONSENSE)
def test_blocks_that_do_not_fit_each_other_are_refused(project, overlay, message):
    write(project, overlay)
    with pytest.raises(InputError, match=f"^studies/mine/params.yaml: {message}"):
        load_study("mine", project)


def test_blocks_of_stages_that_do_not_run_need_not_fit(project):
    write(
        project,
        {"stages": ["prepare", "train"], "prepare": {"datasets": ["digits"]}, "train": {"datasets": ["digits"]}},
    )
    (project / "devices.yaml").unlink()
    assert load_study("mine", project)["bench"]["devices"] == ["local"]


def test_dense_networks_are_exported_without_pruning(project):
    overlay = {"sparsities": [], "int8": {"networks": ["dense", "channels-0.5"]}}
    write(project, {"stages": ["prepare", "train", "export"], "export": overlay})
    load_study("mine", project)


def test_networks_that_are_checked_are_those_that_the_workflow_exports(project):
    study = load_study("quick", project)
    assert networks(study) == [
        "dense", *(f"{method}-{sparsity}" for method in ("magnitude", "obs", "fls") for sparsity in ("0.8", "0.95")),
        "channels-0.5",
    ]  # fmt: skip
    in_int8 = ["dense-u8s8", "dense-s8s8", "fls-0.95-u8s8", "fls-0.95-s8s8"]
    assert variants(study) == networks(study) + in_int8


@pytest.mark.parametrize(
    "name", ["2024", "1e5", "a@b", "a b", "on", "null", "nan", "Infinity", "a..b", "é", "a\n", "", 7]
)
def test_study_names_that_yaml_or_a_path_misreads_are_refused(name):
    with pytest.raises(InputError, match=r"STUDY: cannot name a study.*Begin with a letter"):
        check_study_name(name)


@pytest.mark.parametrize("name", ["quick", "cifar10-resnet18", "a.b_c", "e5"])
def test_study_names_of_letters_and_digits_are_right(name):
    check_study_name(name)


def test_an_overlay_called_like_the_quick_study_is_refused(project):
    write(project, {})
    (project / "studies/quick").mkdir()
    (project / "studies/quick/params.yaml").write_text("train: {epochs: 1}")
    for study in ("quick", "mine"):
        with pytest.raises(
            InputError, match=r"^studies/quick/params.yaml: the quick study has no overlay.*Change params"
        ):
            load_study(study, project)


@pytest.mark.parametrize("name", ["quick.yaml", "other.yml"])
def test_a_file_where_folders_belong_is_refused_and_not_ignored(project, name):
    (project / "studies" / name).write_text("train: {epochs: 1}")
    with pytest.raises(InputError, match=rf"^studies/{name}: is no study's file.*studies/{name[:5]}/params.yaml"):
        load_study("quick", project)


def test_jobs_are_not_told_what_only_enumerates_jobs(project):
    block = load_study("quick", project)["train"]
    more = block | {"seeds": [0, 1, 2, 3, 4], "datasets": ["digits"]}
    assert job_params("train", block) == job_params("train", more)
    assert job_params("train", block) != job_params("train", block | {"epochs": 99})


def test_schema_accepts_the_study_and_refuses_what_the_models_refuse(project):
    validator = jsonschema.Draft202012Validator(schema())
    study = load_study("quick", project)
    validator.validate(study)
    for key, value in {"epochs": 0, "precision": "half", "learning_rate": "1e-3", "typo": 1}.items():
        wrong = copy.deepcopy(study)
        wrong["train"][key] = value
        assert not validator.is_valid(wrong), key


def test_schema_has_no_defaults_and_admits_no_other_keys():
    def visit(node):
        if isinstance(node, dict):
            assert "default" not in node
            if node.get("type") == "object" and "properties" in node:
                assert node["additionalProperties"] is False
            for child in node.values():
                visit(child)
        elif isinstance(node, list):
            for child in node:
                visit(child)

    visit(schema())
