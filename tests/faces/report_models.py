"""A step that writes down which models its worker holds: what a run with workers is tested by."""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import dataclass
from typing import Any

from inscene.engine.rows import Call, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext


@dataclass(frozen=True)
class ReportModels(Step):
    """``tags`` of each row: process, and file and threads of each onnxruntime session; threads of
    torch, and how many networks of ultralytics there are."""

    def setup(self, context: StepContext) -> Call:
        def report(row: Row) -> Outcome:
            row.columns["tags"] = [f"pid={os.getpid()}", *sorted(_sessions()), *_torch()]
            return Keep((row,))

        return row_by_row(report)


def _sessions() -> list[str]:
    import onnxruntime

    return [
        f"onnx={os.path.basename(one._model_path)} "
        f"threads={one.get_session_options().intra_op_num_threads}"
        for one in gc.get_objects()
        if isinstance(one, onnxruntime.InferenceSession)
    ]


def _torch() -> list[str]:
    torch: Any = sys.modules.get("torch")
    tasks: Any = sys.modules.get("ultralytics.nn.tasks")
    if torch is None or tasks is None:
        return []
    networks = sum(isinstance(one, tasks.PoseModel) for one in gc.get_objects())
    return [f"yolo={networks}", f"torch threads={torch.get_num_threads()}"]
