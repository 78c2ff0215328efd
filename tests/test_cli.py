import subprocess
import sys

import pytest
from click.testing import CliRunner

from fishbone.cli import VERBS, cli


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "fishbone", *arguments], capture_output=True, text=True)


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


def test_unknown_verb_lists_the_known_ones():
    done = run("fly")
    assert done.returncode == 2
    assert "prepare, train, prune" in done.stderr
