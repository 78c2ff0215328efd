import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fishbone.cli import VERBS, LazyGroup, cli, main
from fishbone.errors import InputError, LinkError
from fishbone.parameters import default_block
from fishbone.provenance.params import STAGES, job_block, job_params, load_study, schema

QUICK_STUDY = load_study("quick", Path(__file__).parents[1])


STUDY_VERBS = ("reproduce", "generate", "adopt", "record", "pull", "publish", "clean", "track", "claims")


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fishbone", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb):
    result = CliRunner().invoke(cli, [verb, "--help"], terminal_width=200)
    assert result.exit_code == 0
    assert "Example" in result.output


def test_help_lists_every_verb_without_importing_their_modules():
    code = (
        "import sys; from fishbone.cli import cli; cli(['--help'], standalone_mode=False);"
        "print('torch' in sys.modules, 'snakemake' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"  {verb} " in done.stdout for verb in VERBS)
    assert done.stdout.splitlines()[-1] == "False False"


def test_wrong_input_ends_with_2_and_one_line():
    done = run("train", "--data", "missing.npz", "--seed", "0", "--params", '{"depth": 8}', "--out", "x")
    assert done.returncode == 2
    assert done.stderr.startswith("fishbone: --params: width: key is missing")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("error", "code"), [(LinkError("round 1: h0 failed"), 1), (InputError("no", remedy="Go."), 2)])
def test_an_error_of_the_package_s_own_is_one_line(error, code, monkeypatch, capsys):
    def stopped(prog_name):
        raise error

    monkeypatch.setattr("fishbone.cli.cli", stopped)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert capsys.readouterr().err == f"fishbone: {error}\n"


def test_unknown_verb_lists_the_known_ones():
    done = run("fly")
    assert done.returncode == 2
    assert "prepare, train, prune" in done.stderr


@pytest.mark.parametrize("verb", STUDY_VERBS)
def test_outside_a_checkout_a_study_verb_says_so_in_one_line_and_leaves_nothing(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"there are no studies here: params.yaml is missing.*checkout of Fishbone"):
        cli([verb], standalone_mode=False)
    assert not list(tmp_path.iterdir())


def test_that_line_ends_the_command_with_2(tmp_path):
    done = run("adopt", folder=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_every_verb_that_takes_a_study_is_among_them():
    commands = {name: LazyGroup().get_command(None, name) for name in VERBS}
    takes = {name for name, command in commands.items() if any("--study" in option.opts for option in command.params)}
    assert takes == {*STUDY_VERBS, "params"}


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "bench"])
def test_a_stage_without_params_gets_the_quick_study_s_block(stage):
    command = LazyGroup().get_command(None, stage)
    context = click.Context(command, info_name=stage)
    [option] = [option for option in command.params if option.name == "params"]
    found = option.process_value(context, None) or default_block(job_block(stage), stage)
    assert found.model_dump(mode="json") == json.loads(job_params(stage, QUICK_STUDY[stage]))


def test_outside_a_checkout_params_prints_what_the_package_brings_along(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for stage in STAGES:
        shown = CliRunner().invoke(cli, ["params", stage], catch_exceptions=False).output
        assert json.loads(shown) == json.loads(job_params(stage, QUICK_STUDY[stage]))


def test_the_schema_needs_no_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert json.loads(CliRunner().invoke(cli, ["params", "--schema"], catch_exceptions=False).output) == schema()
