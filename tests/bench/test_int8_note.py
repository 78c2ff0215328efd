from dataclasses import replace

import numpy as np
import onnx
from small_onnx import SIDE, classifier, save_classifier

from fishbone.bench.devices.local import run_local
from fishbone.bench.procedure import Procedure
from fishbone.bench.summary import summarise
from fishbone.bench.table import notes
from fishbone.bench.task import write_task
from fishbone.export.facts import file_facts
from fishbone.export.processor import SATURATES
from fishbone.export.quantise import quantise

QUICK = Procedure(
    threads=1, seconds=0.08, sittings=8, block_ms=1.0, warmup_seconds=0.0, cold_runs=1, images=20, budget_seconds=60.0
)


def test_int8_is_noted_on_processors_without_vnni_and_only_there(tmp_path):
    images = np.random.default_rng(0).standard_normal((64, 1, SIDE, SIDE)).astype(np.float32)
    files = [save_classifier(tmp_path / "float.onnx")]
    for kind in ("u8s8", "u8s7"):
        files.append(tmp_path / f"{kind}.onnx")
        onnx.save(quantise(classifier(), images, kind), files[-1])
    task = write_task(files, 0, None, QUICK, tmp_path)
    done = run_local(task.file, 60)
    for flags, noted in {("avx2",): [[], [SATURATES], []], ("avx2", "avx_vnni"): [[], [], []]}.items():
        environment = done.measurement.environment.model_copy(update={"machine": "x86_64", "cpu_flags": list(flags)})
        outcome = replace(done, measurement=done.measurement.model_copy(update={"environment": environment}))
        result = summarise("d", "local", outcome, task, [file_facts(file) for file in files], None)
        assert [[n for n in model.notes if n == SATURATES] for model in result.models] == noted
        assert any("u8s7" in note for note in notes(result)) == bool(noted[1])
