"""The examples run as they are, and what they print is true of what they show."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))


def printed(name: str, folder: Path) -> str:
    """What an example prints; it is run in an empty folder, which it leaves as it was."""
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not list(folder.iterdir())
    return done.stdout


def number(pattern: str, text: str) -> float:
    return float(re.search(pattern, text)[1])


def test_a_pruned_network_keeps_a_tenth_of_its_weights_and_its_accuracy(tmp_path):
    text = printed("prune_my_network.py", tmp_path)
    dense, pruned = number(r"dense: accuracy (\S+)", text), number(r"pruned: accuracy (\S+)", text)
    assert dense > 0.9
    assert pruned > dense - 0.05
    kept, count = (int(found) for found in re.search(r"with (\d+) of (\d+) weights", text).groups())
    assert kept == count - int(0.9 * count)


def test_two_parties_train_and_send_activations_and_gradients_of_the_size_of_their_layers(tmp_path):
    text = printed("two_parties_over_a_wire.py", tmp_path)
    assert number(r"test accuracy (\S+)", text) > 0.8
    trained, tested, width, classes, float32 = 300 * 64, 397, 64, 10, 4
    assert number(r"activation, owner to helper: (\d+)", text) == (trained + tested) * width * float32
    assert number(r"activation, helper to owner: (\d+)", text) == (trained + tested) * classes * float32
    assert number(r"gradient, owner to helper: (\d+)", text) == trained * classes * float32
    assert number(r"gradient, helper to owner: (\d+)", text) == trained * width * float32


def test_federated_rounds_learn_from_horizontal_and_vertical_devices(tmp_path):
    rows = re.findall(r"train loss (\S+), test accuracy (\S+), (\S+) MB", printed("a_federated_round.py", tmp_path))
    assert len(rows) == 8
    assert float(rows[-1][0]) < float(rows[0][0]) / 2
    assert float(rows[-1][1]) > 0.7
    assert len({sent for _, _, sent in rows}) == 1


def test_a_benchmark_of_two_files_has_a_time_for_each_and_a_smaller_pruned_file(tmp_path):
    text = printed("bench_a_file.py", tmp_path)
    assert number(r"pruned.onnx: \d+ bytes, (\d+)", text) < number(r"dense.onnx: \d+ bytes, (\d+)", text) / 2
    assert re.search(r"dense +\d+\.\d+ ms", text)
    assert re.search(r"pruned +\d+\.\d+ ms", text)
    assert "pruned:sparse" in text


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_is_short_and_listed(name):
    assert len((EXAMPLES / name).read_text().splitlines()) < 60
    assert f"- [{name}]({name}): " in (EXAMPLES / "README.md").read_text()
    assert f'printed("{name}"' in Path(__file__).read_text()
