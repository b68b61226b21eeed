"""The steps of a bench run: restore one LQ image, score it against its clean image."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from inscene import images
from inscene.bench.methods import Sample, find_method
from inscene.engine.rows import Call, Fail, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.errors import SampleError
from inscene.quality.registry import find_metric


@dataclass(frozen=True)
class Restore(Step):
    """Run one method; the clean image must have been decoded before."""

    method: str
    takes: ClassVar[tuple[str, ...]] = ("lq",)

    def setup(self, context: StepContext) -> Call:
        method = find_method(self.method)

        def restore(row: Row) -> Outcome:
            assert row.pixels is not None
            height, width = row.pixels.shape[:2]
            lq = images.decode(row.columns["lq"]["bytes"]).pixels
            version = row.columns.get("version") or 0
            sample = Sample(row.columns["sample_id"], version, lq, (width, height))
            started = time.perf_counter()
            restored = method.restore(sample)
            row.columns["restore_s"] = time.perf_counter() - started
            if restored.shape != row.pixels.shape:
                got, wanted = restored.shape[1::-1], (width, height)
                return Fail("wrong_output_size", f"{got[0]}x{got[1]}, not {wanted[0]}x{wanted[1]}")
            row.images["restored"] = restored
            row.columns["method"] = method.name
            return Keep((row,))

        return row_by_row(restore)

    def fingerprint(self) -> dict[str, Any]:
        return find_method(self.method).fingerprint()


@dataclass(frozen=True)
class Score(Step):
    """One row of results for each metric; a metric without a value says why."""

    metrics: tuple[str, ...]
    suite: str

    def setup(self, context: StepContext) -> Call:
        metrics = [(name, find_metric(name).load()) for name in self.metrics]

        def score(row: Row) -> Outcome:
            assert row.pixels is not None
            rows = []
            for name, metric in metrics:
                value, status = None, "ok"
                try:
                    (value,) = metric([row.images["restored"]], [row.pixels])
                except SampleError as error:
                    status = error.reason
                rows.append(
                    Row(
                        row.input_id,
                        {
                            **{key: row.columns.get(key) for key in _CARRIED},
                            "version": row.columns.get("version") or 0,
                            "suite": self.suite,
                            "metric": name,
                            "value": value,
                            "status": status,
                        },
                    )
                )
            return Keep(tuple(rows))

        return row_by_row(score)


_CARRIED = ("sample_id", "split", "identity", "method", "restore_s")
