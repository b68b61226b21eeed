"""The study in words and numbers: for terminals, for programs and for tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from inscene import __version__
from inscene.bench.fadex_study.codes import Encoder
from inscene.bench.fadex_study.measure import Compared, Measured
from inscene.bench.fadex_study.settings import Study
from inscene.doctor.machine import version_of
from inscene.faces.detectors.choice import DetectorChoice

SCHEMA = "inscene.fadex-similarity/1"
"""Raised with every change that a reader must know of."""
_PACKAGES = ("torch", "diffusers", "numpy", "opencv-python-headless", "pillow")
_COLUMNS = ("code", "across", "of", "one", "other", "cosine")


@dataclass(frozen=True)
class Report:
    """What was measured, on what."""

    suite: str
    dataset: str
    study: Study
    encoder: Encoder
    measured: Measured

    @property
    def presets(self) -> tuple[str, ...]:
        return tuple(preset.name for preset in self.measured.presets)

    @property
    def notes(self) -> list[str]:
        """What a reader must know before comparing these numbers with others."""
        found, wanted = len(self.measured.images), self.study.images
        if found == wanted:
            return []
        return [f"{found} images, not {wanted}: these are not the numbers of the suite"]


def document(report: Report, *, matrices: bool = True) -> dict[str, Any]:
    """All numbers, unrounded. Values are JSON's."""
    measured, encoder = report.measured, report.encoder
    return {
        "schema": SCHEMA,
        "inscene": __version__,
        "suite": report.suite,
        "dataset": report.dataset,
        "verdict": measured.verdict,
        "notes": report.notes,
        "codes": {code.key: _code(code, report, matrices) for code in measured.codes},
        "checkpoint": {
            "place": encoder.place,
            "family": encoder.config.family,
            "sha256": encoder.sha256,
            "files": encoder.files,
        },
        "study": report.study.model_dump(mode="json"),
        "presets": [
            {"name": one.name, "operator_id": one.operator.operator_id} for one in measured.presets
        ],
        "images": [asdict(image) for image in measured.images],
        "passed_over": [asdict(one) for one in measured.looked.passed_over],
        "detector": DetectorChoice(report.study.detector).fingerprint(),
        "versions": {name: version_of(name) for name in _PACKAGES},
    }


def _code(code: Compared, report: Report, matrices: bool) -> dict[str, Any]:
    ids = [image.id for image in report.measured.images]
    test = code.test
    facts: dict[str, Any] = {
        "across_images": code.across_images,
        "across_presets": code.across_presets,
        "gap": code.gap,
        "retrieval": code.retrieval,
        "per_preset": dict(zip(report.presets, test.per_preset.tolist(), strict=True)),
        "per_image": dict(zip(ids, test.per_image.tolist(), strict=True)),
    }
    if matrices:
        facts["image_pairs"] = dict(zip(report.presets, test.image_pairs.tolist(), strict=True))
        facts["preset_pairs"] = dict(zip(ids, test.preset_pairs.tolist(), strict=True))
    return facts


def as_json(report: Report) -> str:
    return json.dumps(document(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(report: Report) -> str:
    """A row a pair, each pair once. ``across`` is what the two differ in, ``of`` what they share:
    ``images`` of a preset, or ``presets`` of an image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    ids = tuple(image.id for image in report.measured.images)
    for code in report.measured.codes:
        test = code.test
        for across, shared, compared, matrices in (
            ("images", report.presets, ids, test.image_pairs.tolist()),
            ("presets", ids, report.presets, test.preset_pairs.tolist()),
        ):
            for of, matrix in zip(shared, matrices, strict=True):
                for one, other, cosine in _pairs(compared, matrix):
                    writer.writerow((code.key, across, of, one, other, repr(cosine)))
    return text.getvalue()


def _pairs(names: tuple[str, ...], matrix: list[list[float]]) -> Iterator[tuple[str, str, float]]:
    for row, one in enumerate(names):
        for column in range(row + 1, len(names)):
            yield one, names[column], matrix[row][column]


def as_text(report: Report) -> str:
    """A short table and the verdict."""
    measured = report.measured
    chance = f"{1 / len(report.presets):.0%}"
    lines = [
        f"{report.suite}: {len(measured.images)} images x {len(report.presets)} presets, "
        f"{report.encoder.place} ({report.encoder.sha256[:12]})",
        "",
        f"{'mean cosine':<14}{'same preset,':>16}{'same image,':>16}{'':>10}{'nearest is of':>18}",
        f"{'':<14}{'other image':>16}{'other preset':>16}{'gap':>10}{'the same preset':>18}",
    ]
    for code in measured.codes:
        lines.append(
            f"{code.key:<14}{code.across_images:>16.4f}{code.across_presets:>16.4f}"
            f"{code.gap_text:>10}{code.retrieval:>18.0%}"
        )
    lines += [f"{'by chance':<14}{chance:>60}", ""]
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join([*lines, f"verdict: {measured.verdict}"])
