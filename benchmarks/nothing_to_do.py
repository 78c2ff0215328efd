"""Nothing has changed: `fishbone reproduce` against its peers `dvc status`, `dvc repro` and `snakemake`.

Run after `make reproduce`. Each round times all four in shuffled order; printed are medians and the median of the
paired ratios to `fishbone reproduce`, with minimum and maximum over rounds.
"""

import argparse
import random
import statistics
import subprocess
import sys
import time

from fishbone.provenance.lock import folder


def commands(study: str) -> dict[str, list[str]]:
    pipeline = (folder(study) / "dvc.yaml").as_posix()
    python = [sys.executable, "-m"]
    return {
        "fishbone reproduce": [*python, "fishbone", "reproduce", "--study", study],
        "snakemake": [*python, "snakemake", "--config", f"study={study}"],
        "dvc status": [*python, "dvc", "status", pipeline],
        "dvc repro": [*python, "dvc", "repro", pipeline],
    }


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="quick")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    peers = commands(options.study)
    times: dict[str, list[float]] = {name: [] for name in peers}
    shuffled = random.Random(0)
    for _ in range(options.rounds):
        for name in shuffled.sample(list(peers), len(peers)):
            times[name].append(seconds(peers[name]))
    own = times["fishbone reproduce"]
    for name, values in times.items():
        ratios = [value / base for value, base in zip(values, own, strict=True)]
        print(
            f"{name:20} median {statistics.median(values):6.2f} s   paired ratio {statistics.median(ratios):5.2f}"
            f"  [{min(ratios):.2f}, {max(ratios):.2f}]  n={len(values)}"
        )


if __name__ == "__main__":
    main()
