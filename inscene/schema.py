"""The tables: scenes, pairs, results and drops, column by column, with types and units.

A schema here is a pyarrow schema that also carries the Hub's feature metadata, so that
``datasets.load_dataset`` gives image columns as images. ``datasets`` itself is not imported: it
takes seconds, and every worker needs a schema.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

import pyarrow as pa

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""The Hub's image cell: encoded bytes, and a base name that is never opened."""

# Every score that a step may give. They are kept for dropped rows too, so that a threshold can be
# moved later without running a model again.
STAGES = pa.list_(pa.struct([("stage", pa.string()), ("seconds", pa.float64())]))

SCORES = pa.struct(
    [
        ("musiq", pa.float64()),  # about 0..100, higher is better
        ("clipiqa", pa.float64()),  # 0..1, higher is better
        ("maniqa", pa.float64()),  # about 0..1, higher is better
        ("laplacian_var", pa.float64()),  # variance of the Laplacian of the 8-bit luma
        ("face_laplacian_var", pa.float64()),  # the same inside the face box
        ("face_area", pa.float64()),  # face box area / image area, 0..1
        ("short_side_px", pa.float64()),  # of the source image, before it was cut
        ("faces", pa.float64()),  # how many were found on it
        ("face_height_px", pa.float64()),  # of the face box
        ("face_height_share", pa.float64()),  # face box height / image height
        ("prominent_faces", pa.float64()),  # those of at least a quarter of the largest one's area
        ("background_laplacian_var", pa.float64()),  # laplacian_var beside the person
        ("identity", pa.float64()),  # cosine that decided, -1..1: one of the next three
        ("identity_conditioning", pa.float64()),  # to the reference that it was made from
        ("identity_mean", pa.float64()),  # mean over the person's references, or other photos
        ("identity_max", pa.float64()),  # the largest of them
        ("iso", pa.float64()),  # of a RAW capture
    ]
)

TRIES = pa.list_(
    pa.struct(
        [
            ("attempt", pa.int32()),  # 0..
            ("seed", pa.int64()),
            ("similarity", pa.float64()),  # cosine to the reference; null where there was no face
            ("reason", pa.string()),  # why it was rejected; null: it was not
            ("scores", SCORES),
        ]
    )
)
"""Each image that was generated for a scene, so that a threshold can be moved later."""

CAMERA = pa.struct(
    [
        ("iso", pa.int32()),
        ("exposure_s", pa.float64()),
        ("make", pa.string()),
        ("model", pa.string()),
        ("iso_group", pa.int32()),  # of RAW captures: which of the recipe's ISO values it is
        ("black_level", pa.list_(pa.int32())),  # by channel R, G, B, G2, in the sensor's counts
        ("white_level", pa.int32()),  # where the sensor is full, in the same
    ]
)


@dataclass(frozen=True)
class Column:
    name: str
    type: pa.DataType
    meaning: str
    volatile: bool = False
    """True for a value that may differ between two runs (a time): left out of the table hash."""


@dataclass(frozen=True)
class TableKind:
    """One kind of table: its columns, and the columns that together name a row."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    repeated_images: tuple[str, ...] = ()
    """Image columns whose value is the same in neighbouring rows: stored once."""

    @functools.cached_property
    def schema(self) -> pa.Schema:
        images = {c.name: {"_type": "Image"} for c in self.columns if c.type == IMAGE}
        metadata = {"huggingface": json.dumps({"info": {"features": images}})} if images else None
        return pa.schema([(c.name, c.type) for c in self.columns], metadata=metadata)

    @functools.cached_property
    def image_columns(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns if c.type == IMAGE)

    @functools.cached_property
    def hashed_columns(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns if not c.volatile)


_SAMPLE_ID = Column("sample_id", pa.string(), "names the sample: its path below the source")
_SPLIT = Column("split", pa.string(), "train, val or test")
_FACE_BOX = pa.list_(pa.float32())

SCENES = TableKind(
    "scenes",
    (
        _SAMPLE_ID,
        _SPLIT,
        Column("source", pa.string(), "base name of the folder or dataset it came from"),
        Column("image", IMAGE, "the scene: sRGB PNG, 8 or 16 bits, upright, no metadata"),
        Column("width", pa.int32(), "px"),
        Column("height", pa.int32(), "px"),
        Column("sha256", pa.string(), "of the source file's bytes, hex"),
        Column("pixels_sha256", pa.string(), "of size and 8-bit pixels where phash was taken, hex"),
        Column("phash", pa.string(), "64-bit perceptual hash, hex"),
        Column("identity", pa.string(), "label of the person, as given by the source"),
        Column("file_id", pa.string(), "the generator's own name for the image"),
        Column("prompt", pa.string(), "text the scene was generated from"),
        Column("shot", pa.string(), "how much of the person was asked for: full-body, mid-up"),
        Column("slots", pa.string(), "JSON: what the grammar put where in the prompt"),
        Column("repeat", pa.int32(), "0.. : which scene of one reference and prompt"),
        Column("seed", pa.int64(), "seed the scene was generated from"),
        Column("attempt", pa.int32(), "0.. : which try it is"),
        Column("tries", TRIES, "every try, rejected ones too: seed, similarity, reason"),
        Column("generator", pa.string(), "JSON: weights, settings and versions that made it"),
        Column("face_bbox", _FACE_BOX, "x0, y0, x1, y1 in px of the scene"),
        Column("face_score", pa.float32(), "the detector's confidence, 0..1"),
        Column("landmarks5", pa.list_(pa.float32()), "5 points x, y in px: eyes, nose, mouth"),
        Column("landmarks68", pa.list_(pa.float32()), "68 points x, y in px"),
        Column("identity_score", pa.float32(), "cosine to the reference, -1..1"),
        Column("identity_model", pa.string(), "the network behind identity_score"),
        Column("scores", SCORES, "every score that a step gave"),
        Column("tags", pa.list_(pa.string()), "what is to be seen"),
        Column("camera", CAMERA, "how it was taken"),
        Column("development", pa.string(), "JSON: LibRaw, its parameters, white balance, rotation"),
        Column("motion_blur", pa.bool_(), "as the sidecar says; null where it says nothing"),
        Column("reference_ids", pa.list_(pa.string()), "clean photos of the person, in a gallery"),
        Column("licence", pa.string(), "of the source image, or unknown"),
        Column("consent", pa.string(), "basis of consent, or unknown"),
        Column("source_url", pa.string(), "where it was published"),
        Column("provenance", pa.string(), "JSON: recipe hash, step versions, weight hashes"),
    ),
    key=("sample_id",),
)

PAIRS = TableKind(
    "pairs",
    (
        _SAMPLE_ID,
        _SPLIT,
        Column("version", pa.int32(), "0.. : independent degradations of one clean image"),
        Column("operator_id", pa.string(), "names the operator: the label of contrastive training"),
        Column("lq", IMAGE, "low-quality image, PNG at LQ size"),
        Column("hq", IMAGE, "clean image, PNG"),
        Column("width", pa.int32(), "of the clean image, px"),
        Column("height", pa.int32(), "of the clean image, px"),
        Column("sha256", pa.string(), "of the clean image's source file, hex"),
        Column("identity", pa.string(), "label of the person, as given by the source"),
        Column("face_bbox", _FACE_BOX, "x0, y0, x1, y1 in px of the clean image"),
        Column("lq_face_bbox", _FACE_BOX, "x0, y0, x1, y1 in px of the LQ image"),
        Column("landmarks5", pa.list_(pa.float32()), "5 points x, y in px of the clean image"),
        Column("operator", pa.string(), "JSON record: reproduces the LQ bit for bit"),
        Column("seed", pa.int64(), "of the per-pixel noise"),
        Column("licence", pa.string(), "of the source image, or unknown"),
        Column("consent", pa.string(), "basis of consent, or unknown"),
        Column("provenance", pa.string(), "JSON: recipe hash, step versions, weight hashes"),
    ),
    key=("sample_id", "version"),
    repeated_images=("hq",),
)

FACE_PAIRS = TableKind(
    "face-pairs",
    (
        _SAMPLE_ID,
        _SPLIT,
        Column("version", pa.int32(), "which degradation of the sample"),
        Column("operator_id", pa.string(), "names the operator: the label of contrastive training"),
        Column("lq_face", IMAGE, "the face as the LQ scene has it, never resampled, PNG"),
        Column("hq_face", IMAGE, "the restored face at the same place, PNG of the same size"),
        Column("gt_face", IMAGE, "the clean face at the same place, never resampled, PNG"),
        Column("ref_fr", pa.string(), "what restored the face"),
        Column("hq_source", pa.string(), "ref_fr; or gt: hq_face is the clean face, resampled"),
        Column("references", pa.int32(), "photographs of the person that it restored with"),
        Column("box", pa.list_(pa.int32()), "x0, y0, x1, y1 of the faces in px of the scene"),
        Column("side_px", pa.int32(), "the box's shorter side, px"),
        Column("landmarks5", pa.list_(pa.float32()), "5 points x, y in px of the scene"),
        Column("landmarks_from", pa.string(), "stored; or what found them on the LQ"),
        Column("width", pa.int32(), "of the scene, px"),
        Column("height", pa.int32(), "of the scene, px"),
        Column("sha256", pa.string(), "of the clean scene's source file, hex"),
        Column("identity", pa.string(), "label of the person, as given by the source"),
        Column("licence", pa.string(), "of the source image, or unknown"),
        Column("consent", pa.string(), "basis of consent, or unknown"),
        Column("provenance", pa.string(), "JSON: recipe hash, step versions, weight hashes"),
    ),
    key=("sample_id", "version"),
    repeated_images=("gt_face",),
)

RESULTS = TableKind(
    "results",
    (
        _SAMPLE_ID,
        _SPLIT,
        Column("version", pa.int32(), "which degradation of the sample"),
        Column("suite", pa.string(), "what was measured on"),
        Column("method", pa.string(), "what restored it"),
        Column("metric", pa.string(), "key of the metric"),
        Column("value", pa.float64(), "the score, or null where there is none"),
        Column("status", pa.string(), "ok, or why there is no score"),
        Column("features", pa.list_(pa.float32()), "of metrics of sets: the image's vector"),
        Column("identity", pa.string(), "label of the person, for per-identity grouping"),
        Column("restore_s", pa.float64(), "wall seconds of the method", volatile=True),
        Column("device", pa.string(), "what the metric ran on", volatile=True),
        Column("provenance", pa.string(), "JSON: recipe hash, step versions, weight hashes"),
    ),
    key=("method", "sample_id", "version", "metric"),
)

RESTORED = TableKind(
    "restored",
    (
        _SAMPLE_ID,
        _SPLIT,
        Column("version", pa.int32(), "which degradation of the sample"),
        Column("suite", pa.string(), "what it was restored for"),
        Column("method", pa.string(), "what restored it"),
        Column("image", IMAGE, "the restored image, PNG"),
        Column("width", pa.int32(), "px"),
        Column("height", pa.int32(), "px"),
        Column("identity", pa.string(), "label of the person, for per-identity grouping"),
        Column("notes", pa.list_(pa.string()), "what a reader must know: no_face, blind, ..."),
        Column("restore_s", pa.float64(), "wall seconds of the method", volatile=True),
        Column("stage_s", STAGES, "wall seconds of the method's own stages", volatile=True),
        Column("provenance", pa.string(), "JSON: recipe hash, step versions, weight hashes"),
    ),
    key=("method", "sample_id", "version"),
)

DROPS = TableKind(
    "drops",
    (
        _SAMPLE_ID,
        Column("step", pa.string(), "the step that refused it"),
        Column("kind", pa.string(), "drop: a step decided so; error: it could not be used"),
        Column("reason", pa.string(), "stable snake_case word"),
        Column("detail", pa.string(), "for people"),
        Column("scores", SCORES, "every score that it had by then"),
        Column("shot", pa.string(), "how much of the person was asked for"),
        Column("identity", pa.string(), "label of the person, where the input has one"),
        Column("tries", TRIES, "of a generated scene: every try and why it was rejected"),
        Column("sha256", pa.string(), "of the source file's bytes, hex"),
        Column("pixels_sha256", pa.string(), "of size and 8-bit pixels, hex, where it came so far"),
        Column("phash", pa.string(), "64-bit perceptual hash, hex, where it came so far"),
        Column("thumbnail", IMAGE, "small JPEG, where there were pixels"),
    ),
    key=("sample_id",),
)

KINDS = {kind.name: kind for kind in (SCENES, PAIRS, FACE_PAIRS, RESTORED, RESULTS)}
