"""The first stage: find the face that leads, have it restored, and pair it with itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from inscene.bench.methods import Sample
from inscene.errors import SampleError
from inscene.faces.align import ByteImage
from inscene.faces.detectors.choice import DetectorChoice
from inscene.faces.face import Points
from inscene.restore.face_choice import FaceChoice
from inscene.restore.pairing import FacePlace, ScenePair
from inscene.restore.ref_fr import AlignedFace, RefFR, find_ref_fr, restore_one
from inscene.restore.settings import Settings
from inscene.seeds import Draws

NO_FACE = "no_face"
NO_REFERENCES = "no_references"
TEXT_ONLY = "text_tokens_only"
SAW_CLEAN = "saw_clean_face"
"""An oracle: what restored the face looked at the clean one."""


@dataclass
class Finding:
    """What the first stage has for the second."""

    pair: ScenePair | None = None
    """None: the scene is restored by its text tokens alone."""
    notes: list[str] = field(default_factory=list)
    stage_s: dict[str, float] = field(default_factory=dict)


class FirstStage:
    """Made cheaply: what is slow is loaded at the first scene."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._choice = FaceChoice(DetectorChoice(settings.detector), settings.face)
        self._with_references = _of_quality(settings.ref_fr, settings.ref_fr_quality)
        self._blind = None if settings.blind == "none" else find_ref_fr(settings.blind)

    @property
    def needs_gt(self) -> bool:
        """Whether it looks at the clean image."""
        restorers = (self._with_references, self._blind)
        return any(one is not None and one.needs_gt for one in restorers)

    def restorer_for(self, with_references: bool) -> RefFR | None:
        """Which restores the face; None where none does."""
        if with_references or not self._with_references.needs_references:
            return self._with_references
        return self._blind

    def require(self, *, references: bool) -> None:
        """Raise :class:`inscene.errors.MachineError` for weights that finding faces needs here."""
        if self._settings.detect_on == "lq":
            self._choice.require(references=references)

    def look(self, scene: ByteImage, sample: Sample) -> Finding:
        """``scene`` is the LQ at the size of the wanted output. Raises ``SampleError`` where the
        face restorer has no output for this face."""
        finding = Finding()
        ref_fr = self.restorer_for(bool(sample.references))
        if self._with_references.needs_references and not sample.references:
            finding.notes.append(NO_REFERENCES)
        if ref_fr is None:
            finding.notes.append(TEXT_ONLY)
            return finding
        started = time.perf_counter()
        landmarks5 = self._landmarks(scene, sample)
        finding.stage_s["find_face"] = time.perf_counter() - started
        if landmarks5 is None:
            finding.notes += [NO_FACE, TEXT_ONLY]
            return finding
        try:
            place = FacePlace.of(landmarks5, (scene.shape[0], scene.shape[1]))
        except SampleError as error:
            finding.notes += [error.reason, TEXT_ONLY]
            return finding
        started = time.perf_counter()
        restored = restore_one(ref_fr, self._aligned(place, scene, sample, ref_fr))
        finding.pair = place.pair(scene, restored)
        if ref_fr.needs_gt:
            finding.notes.append(SAW_CLEAN)
        finding.stage_s["restore_face"] = time.perf_counter() - started
        return finding

    def _landmarks(self, scene: ByteImage, sample: Sample) -> Points | None:
        if self._settings.detect_on == "metadata":
            return sample.landmarks5
        return self._choice.landmarks(scene, sample.references)

    def _aligned(
        self, place: FacePlace, scene: ByteImage, sample: Sample, ref_fr: RefFR
    ) -> AlignedFace:
        references: Sequence[ByteImage] = ()
        if ref_fr.needs_references:
            references = self._choice.align_references(sample.references)
            if not references:
                raise SampleError("references_without_face", "no face in any of the references")
        clean = sample.clean if ref_fr.needs_gt else None
        return AlignedFace(
            sample.id,
            sample.version,
            place.align(scene),
            tuple(references),
            None if clean is None else place.align(clean),
            Draws(self._settings.seed, sample.id, sample.version).seed("ref_fr"),
        )

    def fingerprint(self) -> dict[str, Any]:
        return {
            "ref_fr": self._with_references.fingerprint(),
            "blind": None if self._blind is None else self._blind.fingerprint(),
            "face": self._choice.fingerprint(),
        }


def _of_quality(name: str, quality: str) -> RefFR:
    return find_ref_fr(name if quality == "medium" else f"perturbed:{quality}:{name}")
