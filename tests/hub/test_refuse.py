"""Each refusal: the row's id, the column, the remedy; and the flags that let something through."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from synthetic_photos import synthetic_photo

from hub.doctored import Row, doctored
from inscene.errors import UsageError
from inscene.hub import patterns
from inscene.hub.refuse import check_table, check_texts, findings
from inscene.hub.rules import RULES, WAIVABLE, Allowed, Refusal, refused

NOTHING = Allowed()
SECRET = "hf_" + "Ab1" * 11
FIFTH = "04.png"


def found(
    dataset: Path, tmp_path: Path, change: Any = None, *, allow: Allowed = NOTHING, **more: Any
) -> list[Refusal]:
    return check_table(doctored(dataset, tmp_path / "copy", change, **more), allow)


def at(position: int, **cells: Any) -> Any:
    """Changes cells of one row."""

    def change(index: int, row: Row) -> None:
        if index == position:
            row.update(cells)

    return change


def image(kind: str = "PNG", **options: Any) -> dict[str, Any]:
    file = io.BytesIO()
    synthetic_photo(1, 40, 32).save(file, kind, **options)
    return {"bytes": file.getvalue(), "path": "x.png"}


def exif(*, gps: bool) -> bytes:
    tags = Image.Exif()
    tags[0x010F] = "A camera"
    if gps:
        tags.get_ifd(0x8825)[2] = (48.0, 12.0, 0.5)
    return tags.tobytes()


def test_a_sound_dataset_passes(scenes: Path, tmp_path: Path) -> None:
    assert found(scenes, tmp_path) == []


@pytest.mark.parametrize("name", ["licence", "consent"])
@pytest.mark.parametrize("value", [None, "unknown", " Unknown ", ""])
def test_unknown_terms(name: str, value: str | None, scenes: Path, tmp_path: Path) -> None:
    (one,) = found(scenes, tmp_path, at(4, **{name: value}))
    assert (one.rule, one.sample_id, one.column) == (f"unknown-{name}", FIFTH, name)
    assert one.flag == f"--allow-unknown-{name}"
    assert f"column '{name}'" in one.remedy


def test_many_rows_are_one_refusal(scenes: Path, tmp_path: Path) -> None:
    both = found(scenes, tmp_path, terms=False)
    assert [(one.rule, one.sample_id, one.rows) for one in both] == [
        ("unknown-licence", "00.png", 12), ("unknown-consent", "00.png", 12),
    ]  # fmt: skip
    assert "(and 11 more rows)" in str(both[0])


def test_exif_and_place(scenes: Path, tmp_path: Path) -> None:
    (one,) = found(scenes, tmp_path, at(4, image=image("JPEG", exif=exif(gps=False))))
    assert (one.rule, one.sample_id, one.column) == ("image-metadata", FIFTH, "image.bytes")
    assert one.why == "has EXIF"


def test_a_place_is_never_let_through(scenes: Path, tmp_path: Path) -> None:
    change = at(4, image=image("JPEG", exif=exif(gps=True)))
    (one,) = found(scenes, tmp_path, change, allow=Allowed.of(["image-metadata"]))
    assert (one.rule, one.sample_id, one.flag) == ("location", FIFTH, None)


def test_images_that_cannot_be_looked_into(scenes: Path, tmp_path: Path) -> None:
    (one,) = found(scenes, tmp_path, at(4, image=image("TIFF")))
    assert one.rule == "image-metadata"
    assert "TIFF" in one.why


@pytest.mark.parametrize("path", [
    "/home/me/photos/1.png", "C:\\Users\\me\\1.png", "file:///data/x", "~/photos",
    "\\\\server\\share\\x", 'made by {"references": "/data/people/anna"}',
])  # fmt: skip
@pytest.mark.parametrize("column", ["source", "prompt", "generator", "image"])
def test_absolute_paths_anywhere(column: str, path: str, scenes: Path, tmp_path: Path) -> None:
    cell: Any = {**image(), "path": path} if column == "image" else path
    cells = {column: cell} if column != "generator" else {column: cell, "sha256": None}
    (one,) = found(scenes, tmp_path, at(4, **cells))
    assert (one.rule, one.sample_id) == ("local-paths", FIFTH)
    assert one.column == ("image.path" if column == "image" else column)
    assert path not in str(one)


@pytest.mark.parametrize("text", [
    "a man and/or a woman, 12/24", "https://example.org/a/b/c.png", "anna/1.png", "50 km/h ~ 3",
    "s3://bucket/folder/file", "ratio 1:/2",
])  # fmt: skip
def test_what_is_no_path(text: str) -> None:
    assert not patterns.has_local_path(text)


def test_paths_inside_lists_and_structs(scenes: Path, tmp_path: Path) -> None:
    change = at(4, tags=["face", "/home/me/x"], camera={"make": "/srv/photos/a", "iso": 100})
    both = found(scenes, tmp_path, change)
    assert {(one.column, one.sample_id) for one in both} == {
        ("tags", FIFTH), ("camera.make", FIFTH),
    }  # fmt: skip


@pytest.mark.parametrize("text", [
    SECRET, f"curl -H 'Authorization: Bearer {SECRET}'", "AKIA" + "ABCD" * 4,
    "ghp_" + "a1" * 18, "-----BEGIN RSA PRIVATE KEY", "https://x.org/f?sig=" + "ab" * 16,
])  # fmt: skip
def test_secrets_are_named_and_not_shown(text: str, scenes: Path, tmp_path: Path) -> None:
    (one,) = found(scenes, tmp_path, at(4, prompt=text), allow=Allowed.of(WAIVABLE))
    assert (one.rule, one.sample_id, one.column, one.flag) == ("secrets", FIFTH, "prompt", None)
    assert text not in str(one)
    assert "Revoke it" in one.remedy


def test_a_secret_as_a_name_is_masked(scenes: Path, tmp_path: Path) -> None:
    (one,) = found(scenes, tmp_path, at(4, sample_id=f"{SECRET}.png"))
    assert one.sample_id == "[secret].png"


def test_the_token_of_this_login_whatever_it_looks_like(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "not+like.a(token")
    (one,) = found(scenes, tmp_path, at(4, slots='{"note": "not+like.a(token"}'))
    assert (one.rule, one.sample_id, one.column) == ("secrets", FIFTH, "slots")


@pytest.mark.parametrize("name", ["CelebRef-HQ", "celebref", "CelebHQRefForRelease"])
def test_celebref_itself_and_not_what_was_made_from_it(
    name: str, scenes: Path, tmp_path: Path
) -> None:
    (one,) = found(scenes, tmp_path, at(4, source=name))
    assert (one.rule, one.sample_id, one.flag) == ("celebref-hq", FIFTH, None)
    made = at(4, source=name, generator='{"generator": "flux"}', sha256=None)
    assert check_table(doctored(scenes, tmp_path / "made", made), NOTHING) == []


def test_a_photo_laid_out_as_celebref_has_them(scenes: Path, tmp_path: Path) -> None:
    change = at(4, sample_id="00289/7.png", width=512, height=512)
    (one,) = found(scenes, tmp_path, change)
    assert (one.rule, one.sample_id) == ("celebref-hq", "00289/7.png")


def test_references_by_their_folder(scenes: Path, tmp_path: Path) -> None:
    by_source, by_name = found(
        scenes, tmp_path,
        lambda index, row: row.update(
            {2: {"source": "references"}, 5: {"sample_id": "anna/ref/1.png"}}.get(index, {})
        ),
    )  # fmt: skip
    assert {by_source.rule, by_name.rule} == {"reference-images"}
    assert {by_source.sample_id, by_name.sample_id} == {"02.png", "anna/ref/1.png"}
    assert by_source.flag is None


def test_a_scene_that_is_its_own_reference(scenes: Path, tmp_path: Path) -> None:
    import hashlib

    cell = image()
    digest = hashlib.sha256(cell["bytes"]).hexdigest()
    (one,) = found(scenes, tmp_path, at(4, image=cell, generator="{}", sha256=digest))
    assert (one.rule, one.why) == ("reference-images", "is the reference itself")


def images_column(name: str) -> dict[str, pa.Array]:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return {name: pa.array([None, image(), None, None], kind)}


def test_a_column_of_references(scenes: Path, tmp_path: Path) -> None:
    (one,) = found(scenes, tmp_path, columns=images_column("reference_image"))
    assert (one.rule, one.sample_id, one.column) == (
        "reference-images", "01.png", "reference_image",
    )  # fmt: skip


def test_images_hidden_in_other_columns(scenes: Path, tmp_path: Path) -> None:
    data = image()["bytes"]
    columns = {
        "more": pa.array([None, None, [data, data], []], pa.list_(pa.binary())),
        "note": pa.array([None, "iVBORw0KGgo" + "A" * 60, None, None]),
    }
    hidden = found(scenes, tmp_path, columns=columns)
    assert {(one.rule, one.column, one.sample_id, one.rows) for one in hidden} == {
        ("reference-images", "more", "02.png", 2), ("reference-images", "note", "01.png", 1),
    }  # fmt: skip


def unit_vectors(rows: int, size: int) -> list[list[float]]:
    vectors = np.random.default_rng(0).normal(size=(rows, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).tolist()


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 512)])
def test_face_embeddings_by_what_they_are(kind: pa.DataType, scenes: Path, tmp_path: Path) -> None:
    vectors = [None, None, None, unit_vectors(1, 512)[0]]
    (one,) = found(scenes, tmp_path, columns={"feature": pa.array(vectors, kind)})
    assert (one.rule, one.sample_id, one.why) == (
        "face-embeddings", "03.png", "vectors of length 1",
    )  # fmt: skip


@pytest.mark.parametrize(("name", "values"), [
    ("arcface", pa.array([None, [3.0, 4.0], None, None], pa.list_(pa.float32()))),
    ("face_embedding", pa.array([None, b"\0\1\2", None, None], pa.binary())),
    ("id_tokens", pa.array([None, [[1.0], [2.0]], None, None], pa.list_(pa.list_(pa.float32())))),
    ("notes", pa.array([None, '{"face_embedding": [0.1, 0.2]}', None, None])),
])  # fmt: skip
def test_face_embeddings_by_their_name(
    name: str, values: pa.Array, scenes: Path, tmp_path: Path
) -> None:
    (one,) = found(scenes, tmp_path, columns={name: values})
    assert (one.rule, one.sample_id, one.column) == ("face-embeddings", "01.png", name)


def test_landmarks_and_scores_are_no_embeddings(scenes: Path, tmp_path: Path) -> None:
    change = at(4, landmarks68=list(np.linspace(0, 40, 136)), identity_score=0.7,
                identity_model="arcface w600k_r50")  # fmt: skip
    assert found(scenes, tmp_path, change) == []


def test_coordinates(scenes: Path, tmp_path: Path) -> None:
    (one,) = found(scenes, tmp_path, columns={"gps_lat": pa.array([None, 48.2, None, None])})
    assert (one.rule, one.sample_id) == ("location", "01.png")


# -- flags -----------------------------------------------------------------------------------------


def test_flags_let_through_and_are_kept_for_the_card(scenes: Path, tmp_path: Path) -> None:
    store = doctored(scenes, tmp_path / "copy", at(4, source="/home/me/x"), terms=False)
    assert {one.rule for one in findings(store)} == {
        "unknown-licence", "unknown-consent", "local-paths",
    }  # fmt: skip
    left = check_table(store, Allowed.of(["unknown-licence", "local-paths"]))
    assert [one.rule for one in left] == ["unknown-consent"]


@pytest.mark.parametrize("rule", sorted(set(RULES) - set(WAIVABLE)))
def test_what_no_flag_lets_through(rule: str) -> None:
    with pytest.raises(UsageError, match="cannot be allowed"):
        Allowed.of([rule])


def test_a_flag_that_is_none() -> None:
    with pytest.raises(UsageError, match="unknown-licence"):
        Allowed.of(["unknown-license"])


def test_the_error_says_all_of_it(scenes: Path, tmp_path: Path) -> None:
    refusals = found(scenes, tmp_path, at(4, prompt=SECRET), terms=False)
    error = refused(refusals, "here")
    assert error is not None
    assert "for 3 reasons" in error.what
    assert all(str(one) in str(error) for one in refusals)
    assert "--allow-unknown-licence" in str(error)
    assert SECRET not in str(error)
    assert refused([], "here") is None


# -- texts -----------------------------------------------------------------------------------------


def test_texts_beside_the_table() -> None:
    texts = {"a.json": b'{"dataset": "/home/me/pairs"}', "b.md": SECRET.encode(), "c.md": b"fine"}
    assert {(one.rule, one.sample_id) for one in check_texts(texts)} == {
        ("local-paths", "a.json"), ("secrets", "b.md"),
    }  # fmt: skip


def test_redacted_keeps_names_only() -> None:
    value = {"a": ["/home/me/x.png", "folder:/data/mine/r"], "b": {"c": 3, "d": "word"}}
    assert patterns.redacted(value) == {
        "a": ["[local]/x.png", "folder:[local]/r"], "b": {"c": 3, "d": "word"},
    }  # fmt: skip
    assert not patterns.has_local_path(str(patterns.redacted(value)))
