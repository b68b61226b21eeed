"""The study: codes of the same faces under the same presets, compared both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inscene.bench.fadex_study.codes import Encoder
from inscene.bench.fadex_study.faces import FaceFinder, Looked, PassedOver, StudyFace
from inscene.bench.fadex_study.pairs import Preset, face_pairs, load_presets
from inscene.bench.fadex_study.settings import Study
from inscene.dataset.sources import Input
from inscene.engine.progress import Display, Silent
from inscene.errors import SampleError, UsageError, VerificationError
from inscene.face2scene.similarity import CosineTest, cosine_matrices, retrieval_accuracy
from inscene.faces.detectors.choice import DetectorChoice


@dataclass(frozen=True)
class Compared:
    """One kind of code, compared both ways."""

    key: str
    title: str
    test: CosineTest
    retrieval: float
    """Of how many codes the nearest one of another image is of the same preset, 0..1; by chance
    one in as many as there are presets."""

    @property
    def across_images(self) -> float:
        """Mean cosine of two images under one preset: to be high."""
        return float(self.test.per_preset.mean())

    @property
    def across_presets(self) -> float:
        """Mean cosine of two presets of one image: to be low."""
        return float(self.test.per_image.mean())

    @property
    def gap(self) -> float:
        return self.across_images - self.across_presets

    @property
    def gap_text(self) -> str:
        """Four decimals; where they would all be zero, the sign must still be seen."""
        return f"{self.gap:+.4f}" if abs(self.gap) >= 5e-5 or not self.gap else f"{self.gap:+.0e}"


@dataclass(frozen=True)
class StudiedImage:
    id: str
    sha256: str
    size: tuple[int, int]
    """Width and height, px."""
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of the face pair, px."""


@dataclass(frozen=True)
class Measured:
    images: tuple[StudiedImage, ...]
    presets: tuple[Preset, ...]
    embedding: Compared
    """What is compared in training, and decides."""
    features: Compared
    """The variant: what MapNet makes tokens of, pooled. They are not trained to be compared by
    their angle, and are nearly all positive: expect high cosines everywhere."""
    looked: Looked

    @property
    def codes(self) -> tuple[Compared, Compared]:
        return self.embedding, self.features

    @property
    def verdict(self) -> str:
        """A sentence, and the numbers that it follows from."""
        code = self.embedding
        numbers = (
            f"same preset, other image {code.across_images:.4f}; same image, other preset "
            f"{code.across_presets:.4f}; gap {code.gap_text}"
        )
        if code.gap <= 0:
            return f"does not tell degradations apart: {numbers}"
        return f"the codes follow the degradation more than the picture: {numbers}"


def measure(
    study: Study, inputs: Sequence[Input], encoder: Encoder, display: Display | None = None
) -> Measured:
    """Looks at the inputs in their order until there are as many faces as the study wants.

    One that fails is recorded, and the next takes its place. Raises ``UsageError`` where fewer than
    two have a face, ``MachineError`` where the detector cannot be had, ``VerificationError`` for
    codes that are not finite.
    """
    display = display or Silent()
    presets = load_presets(study.presets)
    detector = DetectorChoice(study.detector).open()
    finder = FaceFinder(detector, study.detector, encoder.config.faces.min_side_px)
    looked = Looked()
    images: list[StudiedImage] = []
    codes: list[tuple[Tensor, Tensor]] = []
    display.resume(looked)
    try:
        for found in finder.find(inputs):
            looked.inputs += 1
            face = (
                _coded(found, presets, study.seed, encoder, codes)
                if isinstance(found, StudyFace)
                else found
            )
            if isinstance(face, StudiedImage):
                images.append(face)
                looked.kept += 1
                display.add(1, 1, 0, 0)
            else:
                looked.pass_over(face)
                if face.failed:
                    display.note(f"{face.id}: {face.reason}: {face.detail}")
                display.add(0, 0, int(not face.failed), int(face.failed))
            if len(images) == study.images:
                break
    finally:
        display.close()
    if len(images) < 2:
        raise _too_few(study, looked)
    embeddings, features = (torch.stack(kind) for kind in zip(*codes, strict=True))
    return Measured(
        tuple(images),
        presets,
        _compared("embedding", "Codes q: unit outputs of the head", embeddings),
        _compared("features", "Features h: the encoder's map, pooled", features),
        looked,
    )


def _coded(
    face: StudyFace,
    presets: Sequence[Preset],
    seed: int,
    encoder: Encoder,
    codes: list[tuple[Tensor, Tensor]],
) -> StudiedImage | PassedOver:
    try:
        codes.append(encoder.codes(face_pairs(face, presets, seed, encoder.config.enlarge)))
    except SampleError as error:
        return PassedOver(face.id, error.reason, error.detail, failed=True)
    height, width = face.scene.shape[:2]
    box = face.box
    return StudiedImage(face.id, face.sha256, (width, height), (box.x0, box.y0, box.x1, box.y1))


def _compared(key: str, title: str, codes: Tensor) -> Compared:
    """``codes``: images × presets × d."""
    if not codes.isfinite().all():
        raise VerificationError(
            "FaDeX gives numbers that are not finite", why=f"Of the {key} of these faces."
        )
    images, presets = codes.shape[:2]
    operators = torch.arange(presets).repeat(images)
    contents = torch.arange(images).repeat_interleave(presets)
    retrieval = retrieval_accuracy(codes.flatten(0, 1), operators, contents)
    return Compared(key, title, cosine_matrices(codes), retrieval)


def _too_few(study: Study, looked: Looked) -> UsageError:
    reasons = {**looked.dropped, **looked.errors}
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    have = "none has" if looked.kept == 0 else "one has"
    return UsageError(
        "two images with a face are needed, to compare one with the other",
        why=f"Of {looked.inputs} looked at, {have} one that can be used{why and f' ({why})'}.",
        next_step=f"Name more photographs of people: --dataset IMAGES ({study.images} are wanted).",
    )
