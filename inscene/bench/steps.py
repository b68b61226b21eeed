"""The steps of a bench run: restore the LQ images; then score what came out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from inscene import images
from inscene.bench.methods import Method, Output, Sample, find_method, require
from inscene.bench.outputs import Outputs, outputs_hash
from inscene.doctor.machine import version_of
from inscene.engine.rows import Call, Drop, Fail, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.errors import SampleError, UsageError
from inscene.faces.columns import stored_points
from inscene.faces.references import ReferenceFolder, ReferencePhotos
from inscene.quality.one_pass import OnePass, Score
from inscene.quality.registry import find_metric
from inscene.weights.locate import hashes_of
from inscene.weights.manifest import load_manifest


@dataclass(frozen=True)
class Restore(Step):
    """Run one method on the LQ images of pairs; the clean image must have been decoded before, and
    says only how large the output is to be."""

    method: str
    suite: str
    lq: Literal["lq", "image"] = "lq"
    """Column of the LQ image; ``image`` for photographs that are degraded themselves."""
    references: str | None = None
    """Folder of photographs of the people, a sub-folder for each or of one person, for methods that
    restore with them; nobody's photographs are no error here."""
    options: dict[str, Any] = field(default_factory=dict)
    """Parameters of the method for this run, where it has such."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "takes", ("lq",) if self.lq == "lq" else ())
        if self.references is not None:  # a worker may have another working directory
            given = Path(self.references).expanduser().absolute()
            object.__setattr__(self, "references", str(given))

    @property
    def on_gpu(self) -> bool:
        return find_method(self.method, self.options).on_gpu

    def check(self, input_ids: Sequence[str]) -> None:
        device = str(self.options.get("device", ""))
        if device.startswith("cuda:"):
            raise UsageError(
                f"each worker has a GPU of its own, and none has {device}",
                next_step=f"Leave device out, and set CUDA_VISIBLE_DEVICES={device[5:]}.",
            )

    def setup(self, context: StepContext) -> Call:
        method = find_method(self.method, self.options)
        require(method)
        photos = None if self.references is None else ReferencePhotos(Path(self.references))

        def restore(rows: Sequence[Row]) -> list[Outcome]:
            samples = [self._sample(row, method, photos) for row in rows]
            good = [sample for sample in samples if isinstance(sample, Sample)]
            started = time.perf_counter()
            outputs = iter(method.restore_many(good))
            seconds = (time.perf_counter() - started) / max(1, len(good))
            return [
                self._finished(row, sample, next(outputs), seconds, method)
                if isinstance(sample, Sample)
                else Fail(sample.reason, sample.detail)
                for row, sample in zip(rows, samples, strict=True)
            ]

        return restore

    def _sample(
        self, row: Row, method: Method, photos: ReferencePhotos | None
    ) -> Sample | SampleError:
        assert row.pixels is not None, "decode comes first"
        height, width = row.pixels.shape[:2]
        try:
            if self.lq == "image":
                lq = row.pixels
            elif (row.columns.get("lq") or {}).get("bytes"):
                lq = images.decode(row.columns["lq"]["bytes"]).pixels
            else:
                return SampleError("no_lq_image", "the dataset is none of pairs")
        except SampleError as error:
            return error
        face = stored_points(row.columns)
        return Sample(
            row.columns["sample_id"],
            row.columns.get("version") or 0,
            lq,
            (width, height),
            () if photos is None else photos.of(row.columns),
            face,
            row.pixels if method.sees_clean and self.lq == "lq" else None,
        )

    def _finished(
        self,
        row: Row,
        sample: Sample,
        output: Output | SampleError,
        seconds: float,
        method: Method,
    ) -> Outcome:
        if isinstance(output, SampleError):
            return Fail(output.reason, output.detail)
        width, height = sample.size
        image = output.image
        if image.shape != (height, width, 3):
            got = "×".join(map(str, image.shape[1::-1]))
            return Fail("wrong_output_size", f"{got}, not {width}×{height}")
        png = {"bytes": images.encode_png(image), "path": f"{sample.version}.png"}
        row.columns.update(
            version=sample.version,
            suite=self.suite,
            method=method.name,
            image=png,
            width=width,
            height=height,
            restore_s=output.seconds(seconds),
            notes=list(output.notes),
            stage_s=[{"stage": one, "seconds": s} for one, s in output.stage_s.items()],
        )
        return Keep((row,))

    def fingerprint(self) -> dict[str, Any]:
        method = find_method(self.method, self.options)
        facts = method.fingerprint()
        facts |= {"suite": self.suite, "lq": self.lq, "sees_clean": method.sees_clean}
        if self.references is not None:
            folder = ReferenceFolder(Path(self.references))
            facts["reference_photographs"] = folder.fingerprint()
        return facts


@dataclass(frozen=True)
class TakeOutput(Step):
    """Give each row what a method made of it; a row that it made nothing of is dropped."""

    outputs: str
    """Folder of its restored images; ``reference`` scores the clean images themselves."""
    method: str

    def setup(self, context: StepContext) -> Call:
        outputs = None if self.outputs == "reference" else Outputs(self.outputs)

        def take(row: Row) -> Outcome:
            assert row.pixels is not None, "decode comes first"
            row.columns["method"] = self.method
            if outputs is None:
                row.images["restored"] = row.pixels
                return Keep((row,))
            found = outputs.find(row.columns["sample_id"], row.columns.get("version") or 0)
            if found is None:
                return Drop("not_restored")
            row.images["restored"] = images.decode(found["image"]["bytes"]).pixels
            row.columns["restore_s"] = found["restore_s"]
            return Keep((row,))

        return row_by_row(take)

    def fingerprint(self) -> dict[str, Any]:
        made = None if self.outputs == "reference" else outputs_hash(self.outputs)
        return {"method": self.method, "outputs": made}


@dataclass(frozen=True)
class ScoreOutputs(Step):
    """One row of results for each metric; a metric without a value says why."""

    metrics: tuple[str, ...]
    suite: str
    reference: bool = True
    """Whether the rows have clean images."""

    def setup(self, context: StepContext) -> Call:
        scorers = OnePass(self.metrics, require_all=True)

        def score(rows: Sequence[Row]) -> list[Outcome]:
            restored = [row.images["restored"] for row in rows]
            clean = [row.pixels if self.reference else None for row in rows]
            return [
                Keep(tuple(self._result(row, key, score) for key, score in scores.items()))
                for row, scores in zip(rows, scorers.score(restored, clean), strict=True)
            ]

        return score

    def _result(self, row: Row, key: str, score: Score) -> Row:
        columns = {name: row.columns.get(name) for name in _CARRIED}
        columns.update(
            version=row.columns.get("version") or 0,
            suite=self.suite,
            metric=key,
            value=score.value,
            status=score.status,
            features=None if score.features is None else score.features.tolist(),
            device=_device(),
        )
        return Row(row.input_id, columns)

    def fingerprint(self) -> dict[str, Any]:
        return {
            "suite": self.suite,
            "reference": self.reference,
            "metrics": {key: metric_facts(key) for key in self.metrics},
        }


def metric_facts(key: str) -> dict[str, Any]:
    """What decides a metric's value: versions, and hashes of weights. Raises
    ``MissingWeightError``."""
    metric = find_metric(key)
    weights = load_manifest().with_needs(metric.weights)
    return {
        "packages": {package: version_of(package) for package in metric.packages},
        "weights": {weight.name: hashes_of(weight.name) for weight in weights},
    }


def _device() -> str:
    import sys

    torch: Any = sys.modules.get("torch")
    return "cuda" if torch is not None and torch.cuda.is_available() else "cpu"


_CARRIED = ("sample_id", "split", "identity", "method", "restore_s")
