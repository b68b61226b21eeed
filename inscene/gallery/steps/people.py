"""``people``: whose photo it is, where it shows several people."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from inscene import images
from inscene.dataset.sources import Input, read_inputs
from inscene.engine.rows import Call, Drop, Fail, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Redecision, Step, StepContext, Threshold
from inscene.errors import SampleError
from inscene.faces.columns import FOUND, store_face, stored_face
from inscene.faces.crops import identity_crop
from inscene.faces.detectors import FaceDetector
from inscene.faces.detectors.choice import DetectorChoice
from inscene.faces.embedders import FaceEmbedder
from inscene.faces.embedders.choice import EMBEDDERS, Cosine
from inscene.faces.face import Face
from inscene.faces.identity import Embedding
from inscene.faces.mapped import reduced
from inscene.gallery.inputs import MOST_PHOTOS, OTHERS, spread

OTHER_PERSON = "other_person"
LOOK_AT_PX = 1024
"""[chosen] Shorter side of the other photos as they are looked at: the scenes' own."""


@dataclass(frozen=True)
class People(Step):
    """Keep, of several prominent faces, the one most like the other photos of the same person.

    The other photos are looked at only when there is a choice to make. They may show several people
    themselves: what counts of each is the face that is most alike, so that whoever is in all of
    them is found. ``scores.prominent_faces`` counts the faces that count;
    ``scores.identity_mean`` and ``identity_max`` are cosines to the other photos. A photo whose
    source names no person keeps its largest face.
    """

    keep: Literal["most_alike", "largest"] = "most_alike"
    """largest needs no recogniser: the largest face is taken to be the person."""
    prominent: Annotated[float, Field(gt=0, le=1)] = 0.25
    """A face counts from this share of the largest one's area on."""
    min: Cosine = 0.3
    """Smallest mean cosine with the other photos; below, none of the people is the one."""
    photos: Annotated[int, Field(ge=1, le=MOST_PHOTOS)] = 8
    """Other photos of a person that are looked at, at most."""
    embedder: Literal["w600k_r50", "glintr100", "ir_se50"] = "w600k_r50"
    detector: Literal["mtcnn", "yolov8-face", "scrfd"] = "mtcnn"
    """Finds the faces of the other photos."""

    @property
    def needs_weights(self) -> tuple[str, ...]:
        """All that it needs, by their names in ``manifests/weights.yaml``."""
        if self.keep == "largest":
            return ()
        return EMBEDDERS[self.embedder].weight, *DetectorChoice(self.detector).needs_weights

    @property
    def without_weights(self) -> str:
        """How to do without them."""
        return "--set people.keep=largest"

    def fingerprint(self) -> dict[str, Any]:
        facts = {"keep": self.keep, "prominent": self.prominent}
        if self.keep == "largest":
            return facts
        return {
            **facts,
            "min": self.min,
            "photos": self.photos,
            "embedder": self.embedder,
            "weights": EMBEDDERS[self.embedder].weight_hash(),
            "detector": DetectorChoice(self.detector).fingerprint(),
        }

    def setup(self, context: StepContext) -> Call:
        gallery_of = None
        if self.keep == "most_alike":
            embedder = EMBEDDERS[self.embedder].open()
            detector = DetectorChoice(self.detector).open()
            gallery_of = _remembered(self, detector, embedder)

        def choose(row: Row) -> Outcome:
            first = stored_face(row.columns)
            if first is None:
                return Fail("no_face_known", "detect_faces comes before people")
            found: list[Face] = row.columns.get(FOUND) or [first]
            faces = prominent_faces(found, self.prominent)
            row.scores["prominent_faces"] = float(len(faces))
            person = row.columns.get("identity")
            if len(faces) == 1 or gallery_of is None or person is None:
                return Keep((row,))
            photos = gallery_of(person, row.columns.get(OTHERS) or ())
            others = [one for sha256, one in photos if sha256 != row.columns.get("sha256")]
            return self._decide(row, faces, others, embedder)

        return row_by_row(choose)

    def _decide(
        self, row: Row, faces: list[Face], others: list[Embedding], embedder: FaceEmbedder
    ) -> Outcome:
        assert row.pixels is not None, "decode comes first"
        if not others:
            return Drop(OTHER_PERSON, f"{len(faces)} people, and no other photo to compare with")
        crops = [identity_crop(row.pixels, face.landmarks5, embedder.template) for face in faces]
        # face × other photo: the cosine with the most alike face of it.
        alike = np.stack(
            [
                (embedder.embed(crops).astype(np.float64) @ one.T.astype(np.float64)).max(axis=1)
                for one in others
            ],
            axis=1,
        ).clip(-1, 1)
        best = int(alike.mean(axis=1).argmax())
        mean, largest = float(alike[best].mean()), float(alike[best].max())
        row.scores.update(identity=mean, identity_mean=mean, identity_max=largest)
        row.columns["identity_score"] = mean
        row.columns["identity_model"] = embedder.name
        store_face(row.columns, faces[best])
        row.columns[FOUND] = [faces[best], *(face for face in faces if face is not faces[best])]
        height, width = row.pixels.shape[:2]
        row.scores["face_area"] = faces[best].area / (height * width)
        if mean < self.min:
            return Drop(OTHER_PERSON, f"{len(faces)} people, the most alike {mean:.3f}")
        return Keep((row,))

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        if facts["keep"] == "largest":
            return {}
        return {"min": Threshold(facts["min"], Cosine, score="identity_mean")}

    @classmethod
    def redecide(
        cls, facts: Mapping[str, Any], changed: Mapping[str, Any], row: Mapping[str, Any]
    ) -> Redecision:
        """A photo of one person has no cosine, and one with nobody to compare with has none
        either."""
        value = (row.get("scores") or {}).get("identity_mean")
        if value is None:
            nobody = row.get("reason") == OTHER_PERSON
            return Redecision("drop", OTHER_PERSON) if nobody else Redecision("keep")
        least = changed.get("min", facts["min"])
        return Redecision("drop", OTHER_PERSON) if value < least else Redecision("keep")


def prominent_faces(faces: Sequence[Face], share: float) -> list[Face]:
    """Those of at least this share of the largest one's area, the largest first."""
    largest = max(face.area for face in faces)
    return sorted((f for f in faces if f.area >= share * largest), key=lambda face: -face.area)


_Photos = list[tuple[str, Embedding]]
"""SHA-256 and faces × d, for each photo with a face."""


def _remembered(
    step: People, detector: FaceDetector, embedder: FaceEmbedder
) -> Callable[[str, Sequence[Input]], _Photos]:
    """Rows of one person lie together: a few people are remembered."""

    @functools.lru_cache(maxsize=4)
    def look(person: str, photos: tuple[Input, ...]) -> _Photos:
        # One more than is needed: the photo that is being decided may be among them.
        chosen = spread(photos, step.photos + 1)
        found = ((sha256, _faces_of(sha256_pixels, step, detector, embedder))
                 for sha256, sha256_pixels in _read(chosen))  # fmt: skip
        return [(sha256, one) for sha256, one in found if one is not None]

    return lambda person, photos: look(person, tuple(photos))


def _read(photos: Sequence[Input]) -> Any:
    for _, columns in read_inputs(photos):
        if isinstance(columns, SampleError):  # one damaged photo leaves the others
            continue
        try:
            yield columns["sha256"], images.decode(columns["image"]["bytes"]).pixels
        except SampleError:
            continue


def _faces_of(
    pixels: Any, step: People, detector: FaceDetector, embedder: FaceEmbedder
) -> Embedding | None:
    image, _ = reduced(pixels, LOOK_AT_PX)
    (faces,) = detector.detect([image])
    if not faces:
        return None
    shown = prominent_faces(faces, step.prominent)
    return embedder.embed(
        [identity_crop(image, face.landmarks5, embedder.template) for face in shown]
    )
