"""What runs again after which change: second run, touch, parameter slice, source edit."""

import os
import re

import pytest

pytestmark = pytest.mark.xdist_group("finished")  # one worker: its tests share the finished study


def test_second_run_has_nothing_to_do(finished):
    assert finished.pending() == []
    assert "nothing to do" in finished.fishbone("reproduce", "--study", "smoke").stdout


def test_touching_every_file_reruns_nothing(finished):
    for folder in ("results", "src", "workflow"):
        for path in (finished.root / folder).rglob("*"):
            os.utime(path)
    for name in ("params.yaml", "Snakefile", "studies/smoke/params.yaml", "devices.yaml"):
        os.utime(finished.root / name)
    assert finished.pending() == []


def test_sparsities_rerun_prune_and_what_follows_it(finished):
    with finished.edited("studies/smoke/params.yaml", "sparsities: [0.5, 0.8]", "sparsities: [0.6, 0.8]"):
        assert finished.pending_stages() == {"prune", "export", "bench", "report"}
    assert finished.pending() == []


def test_report_parameter_reruns_the_report_alone(finished):
    with finished.edited("params.yaml", "comparable_fcd: 0.2", "comparable_fcd: 0.3"):
        assert finished.pending_stages() == {"report"}


def test_learning_rate_reruns_train_and_its_descendants_alone(finished):
    with finished.edited("params.yaml", "learning_rate: 0.2", "learning_rate: 0.1"):
        assert finished.pending_stages() == {"train", "prune", "gan", "export", "bench", "report"}


def test_a_further_seed_adds_its_own_jobs_and_reruns_only_the_report(finished):
    with finished.edited("studies/smoke/params.yaml", "seeds: [0] # train", "seeds: [0, 1]"):
        pending = finished.pending()
    assert [output for output in pending if not output.startswith("report/")] == [
        "train/digits/seed1/model.safetensors"
    ]


def test_a_further_data_source_reruns_no_other_data_set(finished):
    with finished.edited(
        "params.yaml", "    digits: { kind: digits }", "    digits: { kind: digits }\n    x: { kind: cifar10 }"
    ):
        assert "prepare" not in finished.pending_stages()


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("src/fishbone/pruning/masks.py", {"prune", "export", "bench", "report"}),
        ("src/fishbone/federated/weightings.py", {"federate", "report"}),
        ("src/fishbone/bench/agent.py", {"bench", "report"}),
        ("src/fishbone/report/template.html", {"report"}),
        ("src/fishbone/provenance/track.py", set()),
        ("src/fishbone/cli.py", set()),
    ],
)
def test_source_edit_reruns_exactly_the_stages_that_can_reach_it(finished, file, stages):
    text = (finished.root / file).read_text()
    edit = "<!-- edited -->" if file.endswith(".html") else "EDITED = 1"
    with finished.edited(file, text, f"{text}\n{edit}\n"):
        told = finished.reproduce("--dry-run").stderr
    assert set(re.findall(r"^  (\w+): \d+ \(", told, re.MULTILINE)) == stages
    assert (file in told) == bool(stages)


def test_comments_and_docstrings_rerun_nothing(finished):
    text = (finished.root / "src/fishbone/files.py").read_text()
    assert text.startswith('"""Reading')
    commented = text.replace('"""Reading', '"""About reading', 1) + "\n# A comment.\n"
    with finished.edited("src/fishbone/files.py", text, commented):
        assert finished.pending() == []


def test_a_base_value_that_the_study_overrides_reruns_nothing(finished):
    with finished.edited("params.yaml", "  epochs: 8", "  epochs: 9"):
        assert finished.pending() == []
