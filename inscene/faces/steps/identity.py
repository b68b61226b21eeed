"""``identity``: how like its references the scene's face is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from inscene.engine.rows import Call, Drop, Fail, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Redecision, Step, StepContext, Threshold
from inscene.faces.columns import FOUND, store_face, stored_face
from inscene.faces.crops import identity_crop
from inscene.faces.detectors.choice import DetectorChoice
from inscene.faces.embedders import FaceEmbedder
from inscene.faces.embedders.choice import EMBEDDERS, KnownEmbedder, Least
from inscene.faces.face import Face
from inscene.faces.identity import IdentityScore, score_identity
from inscene.faces.references import Gallery, ReferenceFolder, embed_gallery, remembered

UNLIKE = "unlike_references"


@dataclass(frozen=True)
class Identity(Step):
    """Compare the face with given references of the same label, and drop what is unlike them.

    People are never recognised: a face is compared with the photographs that were given for its
    label, and with no others.
    """

    references: str
    """Folder with a sub-folder a person, named as the rows' ``identity`` (or as the folder that a
    photo is in); or a folder of photographs of the one person that all rows show."""
    embedder: Literal["w600k_r50", "glintr100", "ir_se50"] = "w600k_r50"
    against: Literal["conditioning", "mean", "max"] = "mean"
    """Which cosine decides, and is ``identity_score``: to the reference that the scene was made
    from (named by ``file_id``), or the mean or largest over the person's references."""
    min: Least = "published"
    """Smallest cosine that is kept; published: that of the embedder; none: all are kept."""
    face: Literal["largest", "most_alike"] = "largest"
    """Of several faces: the one that ``detect_faces`` chose, or the one most like the references,
    which is then the scene's face."""
    detector: Literal["mtcnn", "yolov8-face", "scrfd"] = "scrfd"
    """Finds the faces of the references."""

    def __post_init__(self) -> None:
        # A worker may have another working directory.
        object.__setattr__(self, "references", str(Path(self.references).expanduser().absolute()))
        _ = self._least  # refuses what nobody has published

    @property
    def _known(self) -> KnownEmbedder:
        return EMBEDDERS[self.embedder]

    @property
    def _least(self) -> float:
        return self._known.least(self.min)

    def check(self, input_ids: Sequence[str]) -> None:
        ReferenceFolder(Path(self.references))

    def fingerprint(self) -> dict[str, Any]:
        return {
            "reference_photographs": ReferenceFolder(Path(self.references)).fingerprint(),
            "embedder": self.embedder,
            "weights": self._known.weight_hash(),
            "against": self.against,
            "min": self._least,
            "face": self.face,
            "detector": DetectorChoice(self.detector).fingerprint(),
        }

    def setup(self, context: StepContext) -> Call:
        folder = ReferenceFolder(Path(self.references))
        embedder = self._known.open()
        detector = DetectorChoice(self.detector).open()
        gallery_of = remembered(
            lambda label: embed_gallery(folder.photos(label), detector, embedder)
        )

        def compare(row: Row) -> Outcome:
            label = folder.label_of(row.columns)
            gallery = gallery_of(label)
            if not gallery.names:
                return Fail("references_without_face", ", ".join(gallery.without_face))
            face = stored_face(row.columns)
            if face is None:
                return Fail("no_face_known", "detect_faces comes before identity")
            faces = [face]
            if self.face == "most_alike":
                faces = row.columns.get(FOUND) or faces
            if label is not None:
                row.columns["identity"] = label
            return self._decide(row, faces, gallery, embedder)

        return row_by_row(compare)

    def _decide(
        self, row: Row, faces: list[Face], gallery: Gallery, embedder: FaceEmbedder
    ) -> Outcome:
        assert row.pixels is not None, "decode comes first"
        others = gallery.without(row.columns.get("sha256"))
        made_from = gallery.named(row.columns.get("file_id"), row.columns.get("sha256"))
        crops = [identity_crop(row.pixels, f.landmarks5, embedder.template) for f in faces]
        scores = [
            score_identity(one, conditioning=made_from, gallery=others)
            for one in embedder.embed(crops)
        ]
        values = [self._value(score) for score in scores]
        if values[0] is None:
            return Fail("nothing_to_compare", _why_nothing(self.against, row, gallery))
        best = int(np.argmax([value if value is not None else -2 for value in values]))
        if best:  # another face of the photo is the person
            store_face(row.columns, faces[best])
        value, score = values[best], scores[best]
        assert value is not None
        row.columns["identity_score"] = value
        row.columns["identity_model"] = embedder.name
        row.scores.update(
            {
                name: found
                for name, found in (
                    ("identity", value),
                    ("identity_conditioning", score.conditioning),
                    ("identity_mean", score.gallery_mean),
                    ("identity_max", score.gallery_max),
                )
                if found is not None
            }
        )
        if value < self._least:
            return Drop(UNLIKE, f"{value:.3f} < {self._least:g}")
        return Keep((row,))

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        return {"min": Threshold(facts["min"], Least)}

    @classmethod
    def redecide(
        cls, facts: Mapping[str, Any], changed: Mapping[str, Any], row: Mapping[str, Any]
    ) -> Redecision:
        value = (row.get("scores") or {}).get("identity")
        if value is None:
            return Redecision("unknown", "its cosine is not stored")
        least = EMBEDDERS[facts["embedder"]].least(changed.get("min", facts["min"]))
        return Redecision("drop", UNLIKE) if value < least else Redecision("keep")

    def _value(self, score: IdentityScore) -> float | None:
        return {
            "conditioning": score.conditioning,
            "mean": score.gallery_mean,
            "max": score.gallery_max,
        }[self.against]


def _why_nothing(against: str, row: Row, gallery: Gallery) -> str:
    if against == "conditioning":
        return f"no reference is named {row.columns.get('file_id')!r}"
    return "the only reference with a face is this photo itself" if gallery.names else "none"
