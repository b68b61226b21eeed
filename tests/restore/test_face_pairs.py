"""``face_pairs`` in whole runs: from pairs of scenes to a table of faces."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inscene.errors import MachineError, RecipeError, UsageError
from inscene.restore.pairing import FacePlace, at_scene_size, round_trip

Rows = list[dict[str, Any]]
Make = Callable[..., Rows]


def image(cell: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(cell["bytes"])))


def box_of(row: dict[str, Any]) -> tuple[slice, slice]:
    x0, y0, x1, y1 = row["box"]
    return slice(y0, y1), slice(x0, x1)


def key(row: dict[str, Any]) -> tuple[str, int]:
    return row["sample_id"].partition("@")[0], row["version"]


def reasons(rows: Rows) -> list[tuple[str, str]]:
    return sorted((row["sample_id"], row["reason"]) for row in rows)


def test_clean_faces_beside_the_lq_as_it_is(face_pairs: Make, read: Make, pairs: Path) -> None:
    scenes = {key(row): row for row in read(pairs)}
    rows = face_pairs()
    assert {key(row) for row in rows} == set(scenes)
    assert len(rows) == 4
    for row in rows:
        scene = scenes[key(row)]
        hq = image(scene["hq"])
        assert (row["width"], row["height"]) == (hq.shape[1], hq.shape[0])
        enlarged = at_scene_size(image(scene["lq"]), hq.shape[:2])
        assert (image(row["lq_face"]) == enlarged[box_of(row)]).all()
        assert (image(row["gt_face"]) == hq[box_of(row)]).all()
        place = FacePlace.of(np.reshape(row["landmarks5"], (5, 2)), hq.shape[:2])
        assert (image(row["hq_face"]) == place.pair(enlarged, place.align(hq)).hq).all()
        assert row["operator_id"] == scene["operator_id"]
        assert row["sha256"] == scene["sha256"]
        assert np.allclose(row["landmarks5"], scene["landmarks5"])
        said = [row[name] for name in ("ref_fr", "hq_source", "references", "landmarks_from")]
        assert said == ["gt", "gt", 0, "metadata"]
        assert (row["licence"], row["consent"], row["split"]) == ("unknown", "unknown", "train")
        x0, y0, x1, y1 = row["box"]
        assert row["side_px"] == min(x1 - x0, y1 - y0)
        json.loads(row["provenance"])


def test_a_clean_face_can_be_resampled_from_its_crop(face_pairs: Make) -> None:
    """What the documentation says about training on clean faces."""
    for row in face_pairs():
        points = np.reshape(row["landmarks5"], (5, 2)) - row["box"][:2]
        trip = round_trip(image(row["gt_face"]), points)
        inside = np.s_[4:-4, 4:-4]
        assert np.abs(trip[inside].astype(int) - image(row["hq_face"])[inside]).max() <= 2


def test_a_face_that_the_border_cuts(face_pairs: Make) -> None:
    boxes = {row["sample_id"]: row["box"] for row in face_pairs()}
    x0, y0, x1, y1 = boxes["eileen/border.png"]
    assert y0 == 0
    assert y1 - y0 < x1 - x0
    x0, y0, x1, y1 = boxes["eileen/whole.png"]
    assert x1 - x0 == y1 - y0


def test_the_draws_follow_content_and_seed(face_pairs: Make, pairs: Path, inscene) -> None:
    rows = face_pairs(ref_fr="perturbed:bad")
    assert {(row["ref_fr"], row["hq_source"]) for row in rows} == {("perturbed:bad", "ref_fr")}
    cells = [row["hq_face"]["bytes"] for row in rows]
    assert len(set(cells)) == 4  # versions of one photo have noise of their own
    assert [row["hq_face"]["bytes"] for row in face_pairs("again", ref_fr="perturbed:bad")] == cells


def test_on_the_lq(face_pairs: Make, read: Make, unseen_pairs: Path, tmp_path: Path) -> None:
    rows = face_pairs(source=unseen_pairs, detect_on="lq")
    assert {row["sample_id"] for row in rows} == {"eileen/whole.png"}
    assert {row["landmarks_from"] for row in rows} == {"mtcnn on the LQ"}
    one, other = rows
    assert one["landmarks5"] != other["landmarks5"]  # each version as it was seen
    drops = read(tmp_path / "out", "drops")
    expected = [(f"cups/coffee.png@{version}", "no_face") for version in (0, 1)]
    assert reasons(drops) == expected
    assert {row["detail"] for row in drops} == {"mtcnn found none on the LQ"}


def test_pairs_without_landmarks_say_what_to_do(
    face_pairs: Make, read: Make, unseen_pairs: Path, tmp_path: Path
) -> None:
    assert face_pairs(source=unseen_pairs) == []
    drops = read(tmp_path / "out", "drops")
    assert {row["reason"] for row in drops} == {"no_face"}
    assert all("detect_on: lq" in row["detail"] for row in drops)


def test_small_faces(face_pairs: Make, read: Make, tmp_path: Path) -> None:
    kept = face_pairs(min_side_px=150)
    assert {row["sample_id"] for row in kept} == {"eileen/whole.png"}
    drops = read(tmp_path / "out", "drops")
    assert {row["reason"] for row in drops} == {"face_too_small"}


@pytest.fixture
def references(astronaut: np.ndarray, pairs: Path, tmp_path: Path) -> Path:
    """Four photographs of her, one of which is the scene itself, and one without a face."""
    folder = tmp_path / "references" / "eileen"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes((pairs.parent / "photos/eileen/whole.png").read_bytes())
    for index in range(3):
        crop = astronaut[10 + 10 * index : 300, 100:350]
        Image.fromarray(np.ascontiguousarray(crop)).save(folder / f"b{index}.png")
    Image.new("RGB", (64, 64)).save(folder / "c.png")
    return folder.parent


def test_another_program_restores_once(face_pairs: Make, program, pairs: Path) -> None:
    name = program.write()
    rows = face_pairs(ref_fr=name)
    assert {row["ref_fr"] for row in rows} == {"inverter"}
    assert len(program.runs) == 2  # a batch each of the two shards
    for row in rows:  # inverted, and at the same place
        lq, hq = (image(row[name])[4:-4, 4:-4].astype(float) for name in ("lq_face", "hq_face"))
        assert np.abs(255 - hq - lq).mean() < 4
    again = face_pairs("again", ref_fr=name)
    assert [row["hq_face"] for row in again] == [row["hq_face"] for row in rows]
    assert len(program.runs) == 2  # from the cache


def test_it_gets_photographs_of_the_person(face_pairs: Make, program, references: Path) -> None:
    name = program.write(references=True)
    rows = face_pairs(ref_fr=name, references=str(references), max_references=3)
    # Without the scene's own photo and the one in which there is no face.
    assert {row["references"] for row in rows} == {3}
    assert program.runs == [3] * 4
    program.count.unlink()
    rows = face_pairs("two", ref_fr=name, references=str(references), max_references=2)
    assert program.runs == [2] * 4
    assert {row["references"] for row in rows} == {2}


def test_people_without_photographs(
    face_pairs: Make, read: Make, program, references: Path, tmp_path: Path
) -> None:
    (references / "eileen").rename(references / "anna")
    assert face_pairs(ref_fr=program.write(references=True), references=str(references)) == []
    drops = read(tmp_path / "out", "drops")
    assert {(row["kind"], row["reason"]) for row in drops} == {("error", "no_references")}
    assert program.runs == []


def test_a_face_that_it_fails_at(face_pairs: Make, read: Make, program, tmp_path: Path) -> None:
    body = "if 'border' in path.name: sys.exit('no')\nimage.save(target)"
    rows = face_pairs(ref_fr=program.write(body))
    assert {row["sample_id"] for row in rows} == {"eileen/whole.png"}
    drops = read(tmp_path / "out", "drops")
    assert {row["reason"] for row in drops} == {"method_crashed"}


def test_what_cannot_be(face_pairs: Make, program, references: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="photographs of the person"):
        face_pairs(ref_fr=program.write(references=True))
    with pytest.raises(UsageError, match="of no use to gt"):
        face_pairs(references=str(references))
    with pytest.raises(UsageError, match="no folder of references"):
        face_pairs(ref_fr=program.write(references=True), references=str(tmp_path / "none"))
    with pytest.raises(MachineError, match="cannot run here"):
        face_pairs(ref_fr=program.write(checkout="elsewhere"))
    with pytest.raises(RecipeError, match="detect_on"):
        face_pairs(detect_on="hq")
    assert not (tmp_path / "out").exists()
