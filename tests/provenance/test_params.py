import copy
from pathlib import Path

import jsonschema
import pytest
import yaml

from fishbone.errors import InputError
from fishbone.provenance.params import job_params, load_study, schema

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "params.yaml").write_text((PROJECT / "params.yaml").read_text())
    return tmp_path


def write(project, overlay) -> None:
    (project / "studies" / "mine.yaml").write_text(yaml.safe_dump(overlay))


def test_overlay_replaces_what_it_names_at_any_depth(project):
    write(project, {"train": {"epochs": 3}})
    quick, mine = load_study("quick", project), load_study("mine", project)
    assert mine["train"]["epochs"] == 3
    mine["train"]["epochs"] = quick["train"]["epochs"]
    assert mine == quick


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"train": {"epochs": 0}}, r"^studies/mine.yaml: train.epochs: .*greater than or equal to 1 \(got 0\)"),
        ({"train": {"epoch": 3}}, r"^studies/mine.yaml: train.epoch: unknown key \(got 3\)"),
        (
            {"train": {"learning_rate": "1e-3"}},
            r"^studies/mine.yaml: train.learning_rate: .*YAML 1.1 reads this as text",
        ),
        (
            {"stages": ["prepare", "fly"]},
            r"^studies/mine.yaml: stages: not a list of stages \(got \['prepare', 'fly'\]\)",
        ),
        ({"trane": {}}, r"^studies/mine.yaml: trane: unknown key"),
        ({"train": None}, r"^studies/mine.yaml: train: "),
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
    (project / "studies" / "mine.yaml").write_text("train:\n  epochs: [1,\n")
    with pytest.raises(InputError, match=r"(?s)mine.yaml: not valid YAML.*line \d"):
        load_study("mine", project)


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
