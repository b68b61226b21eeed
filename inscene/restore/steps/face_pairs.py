"""``face_pairs``: the face of each LQ scene, and what a face restorer makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from inscene import images
from inscene.engine.rows import Call, Drop, Fail, Keep, Outcome, Row
from inscene.engine.step import Step, StepContext
from inscene.errors import MachineError, SampleError, UsageError
from inscene.face2scene.config import Enlarge
from inscene.faces.align import ByteImage
from inscene.faces.columns import as_column, stored_points
from inscene.faces.detectors.choice import DetectorChoice
from inscene.faces.face import Points
from inscene.faces.references import ReferenceFolder, ReferencePhotos
from inscene.restore.face_choice import FaceChoice, Leads
from inscene.restore.pairing import FacePlace, ScenePair, at_scene_size
from inscene.restore.ref_fr import AlignedFace, RefFR, absolute, find_ref_fr
from inscene.restore.ref_fr.plain import GroundTruth
from inscene.seeds import Draws


@dataclass(frozen=True)
class FacePairs(Step):
    """One row of faces for each row of scenes. Scenes without a face, or with too small a one, are
    dropped; where the restorer has no output, the row fails with the restorer's reason."""

    ref_fr: str = "gt"
    """``gt`` (the clean face itself), ``perturbed:LEVEL`` (good, medium, bad), ``identity``, a
    method for aligned faces such as ``faceme``, the path of a manifest of one, or
    ``perturbed:LEVEL:NAME`` of one of those."""
    references: str | None = None
    """Folder with a sub-folder a person, or of one person: for restorers that use photographs of
    the person, and for the choice of a face on the LQ. A scene's own photo is left out."""
    max_references: Annotated[int, Field(ge=1)] = 4
    """The first by name are taken. [chosen] FaceMe was trained with one to four."""
    detect_on: Literal["metadata", "lq"] = "metadata"
    """``metadata``: the landmarks that the dataset has of the clean scene. ``lq``: look on the LQ,
    as the paper does. [chosen] Those are reproducible, and none is lost to the degradation."""
    detector: Literal["mtcnn", "scrfd", "yolov8-face"] = "mtcnn"
    """Finds faces on the LQ and in the references."""
    face: Leads = "most_alike"
    """On the LQ, of several faces: the one most like the references where there are any (which
    needs a recogniser's weights), or the largest."""
    enlarge: Enlarge = "bilinear"
    """How an LQ comes to its scene's size. [chosen] As in the restorer's inference: what FaDeX is
    trained on and what it sees then are to be one."""
    min_side_px: Annotated[int, Field(ge=2)] = 8
    """Of the box. [chosen] Pairs are padded to 32 px: of a smaller one each pixel would be shown
    more than sixteen times."""

    takes = ("lq",)

    def __post_init__(self) -> None:
        # A worker may have another working directory.
        object.__setattr__(self, "ref_fr", absolute(self.ref_fr))
        if self.references is not None:
            root = str(Path(self.references).expanduser().absolute())
            object.__setattr__(self, "references", root)
        needed = find_ref_fr(self.ref_fr).needs_references
        if needed and self.references is None:
            raise UsageError(
                f"{self.ref_fr} restores with photographs of the person",
                next_step="Name a folder with a sub-folder for each: --references DIR.",
            )
        if self.references is not None and not needed and not self._choice_uses_references:
            raise UsageError(
                f"references are of no use to {self.ref_fr}",
                next_step="Leave them out; or choose faces by them: detect_on: lq.",
            )

    @property
    def _choice_uses_references(self) -> bool:
        return self.detect_on == "lq" and self.face == "most_alike"

    @property
    def on_gpu(self) -> bool:
        return find_ref_fr(self.ref_fr).on_gpu

    @property
    def _looks(self) -> bool:
        """Whether faces are detected at all."""
        return self.detect_on == "lq" or self.references is not None

    def _choice(self) -> FaceChoice:
        alike = self._choice_uses_references and self.references is not None
        return FaceChoice(DetectorChoice(self.detector), "most_alike" if alike else "largest")

    def check(self, input_ids: Sequence[str]) -> None:
        if self.references is not None:
            ReferenceFolder(Path(self.references))
        # Before a folder is begun: what is put here later is part of the recipe's hash.
        _require(find_ref_fr(self.ref_fr))

    def fingerprint(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "ref_fr": find_ref_fr(self.ref_fr).fingerprint(),
            "detect_on": self.detect_on,
            "enlarge": self.enlarge,
            "min_side_px": self.min_side_px,
        }
        if self._looks:
            choice = self._choice()
            choice.require(references=True)
            facts["choice"] = choice.fingerprint()
        if self.references is not None:
            facts["max_references"] = self.max_references
            folder = ReferenceFolder(Path(self.references))
            facts["reference_photographs"] = folder.fingerprint()
        return facts

    def setup(self, context: StepContext) -> Call:
        ref_fr = find_ref_fr(self.ref_fr)
        _require(ref_fr)
        photos = None if self.references is None else ReferencePhotos(Path(self.references))
        at_work = _AtWork(self, ref_fr, self._choice() if self._looks else None, photos, context)
        return at_work.pair_all


def _require(ref_fr: RefFR) -> None:
    if missing := ref_fr.missing():
        raise MachineError(f"{ref_fr.name} cannot run here", why=" ".join(missing))


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A row up to what the restorer takes."""

    row: Row
    scene: ByteImage
    place: FacePlace
    landmarks5: Points
    landmarks_from: str
    face: AlignedFace


@dataclass(frozen=True, eq=False)
class _AtWork:
    step: FacePairs
    ref_fr: RefFR
    choice: FaceChoice | None
    photos: ReferencePhotos | None
    context: StepContext

    def pair_all(self, rows: Sequence[Row]) -> list[Outcome]:
        """The restorer gets all faces of the batch at once: another program loads its model each
        time."""
        prepared = [self._guarded(row) for row in rows]
        waiting = [one for one in prepared if isinstance(one, _Prepared)]
        outputs = iter(self.ref_fr.restore([one.face for one in waiting]))
        return [
            self._finished(one, next(outputs)) if isinstance(one, _Prepared) else one
            for one in prepared
        ]

    def _guarded(self, row: Row) -> _Prepared | Drop | Fail:
        try:
            return self._prepare(row)
        except SampleError as error:
            return Fail(error.reason, error.detail)

    def _prepare(self, row: Row) -> _Prepared | Drop:
        assert row.pixels is not None, "decode comes first"
        columns, size = row.columns, (row.pixels.shape[0], row.pixels.shape[1])
        lq = images.decode(columns["lq"]["bytes"]).pixels
        scene = at_scene_size(lq, size, self.step.enlarge)
        photos = () if self.photos is None else self.photos.of(columns)
        points, found_by = self._landmarks(scene, columns, photos)
        if points is None:
            return Drop("no_face", found_by)
        try:
            place = FacePlace.of(points, size)
        except SampleError as error:
            return Drop(error.reason, error.detail)
        box, least = place.box, self.step.min_side_px
        if min(box.width, box.height) < least:
            return Drop("face_too_small", f"{box.width}x{box.height} px, not {least}")
        face = AlignedFace(
            columns["sample_id"],
            columns.get("version") or 0,
            place.align(scene),
            self._references(photos),
            place.align(row.pixels) if self.ref_fr.needs_gt else None,
            self._seed(columns),
        )
        return _Prepared(row, scene, place, points, found_by, face)

    def _landmarks(
        self, scene: ByteImage, columns: dict[str, Any], photos: Sequence[ByteImage]
    ) -> tuple[Points | None, str]:
        """They, and where they are from; or None and why."""
        if self.step.detect_on == "metadata":
            points = stored_points(columns)
            why = "the dataset has no landmarks: detect_faces before face_pairs, or detect_on: lq"
            return points, "metadata" if points is not None else why
        assert self.choice is not None
        found = self.choice.find(scene, photos)
        if found is None:
            return None, f"{self.step.detector} found none on the LQ"
        return found.face.landmarks5, f"{found.how} on the LQ"

    def _references(self, photos: Sequence[ByteImage]) -> tuple[ByteImage, ...]:
        if not self.ref_fr.needs_references:
            return ()
        assert self.choice is not None
        if not photos:
            raise SampleError("no_references", "none of the person but the photo itself")
        aligned = self.choice.align_references(photos)
        if not aligned:
            raise SampleError("references_without_face", f"none of {len(photos)}")
        return tuple(aligned[: self.step.max_references])

    def _seed(self, columns: dict[str, Any]) -> int:
        """Of the content, as the degradation's: not of names or of the order of work."""
        version = columns.get("version") or 0
        return Draws(self.context.seed, columns["sha256"], version).seed("ref_fr")

    def _finished(self, done: _Prepared, output: ByteImage | SampleError) -> Outcome:
        if isinstance(output, SampleError):
            return Fail(output.reason, output.detail)
        pair = done.place.pair(done.scene, output)
        made = self._columns(done, pair)
        return Keep((Row(done.row.input_id, {**done.row.columns, **made}),))

    def _columns(self, done: _Prepared, pair: ScenePair) -> dict[str, Any]:
        row, box = done.row, pair.box
        assert row.pixels is not None
        version = row.columns.get("version") or 0
        faces = {"lq_face": pair.lq, "hq_face": pair.hq, "gt_face": box.crop(row.pixels)}
        return {
            # The engine names inputs by sample and version, and the version is a column.
            "sample_id": row.columns["sample_id"].removesuffix(f"@{version}"),
            "version": version,
            **{
                name: {"bytes": images.encode_png(face), "path": f"{name}@{version}.png"}
                for name, face in faces.items()
            },
            "ref_fr": self.ref_fr.name,
            "hq_source": "gt" if isinstance(self.ref_fr, GroundTruth) else "ref_fr",
            "references": len(done.face.references),
            "box": [box.x0, box.y0, box.x1, box.y1],
            "side_px": pair.side_px,
            "landmarks5": as_column(done.landmarks5),
            "landmarks_from": done.landmarks_from,
            "licence": row.columns.get("licence") or "unknown",
            "consent": row.columns.get("consent") or "unknown",
        }
