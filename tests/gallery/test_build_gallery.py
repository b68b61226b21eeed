"""`inscene build gallery` from photos to the table."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from loopback.pulled import pulled
from people_photos import (
    CANARY,
    NO_MODELS,
    SMALL,
    person,
    photo,
    save,
    thumbnail_of,
    with_all_metadata,
)
from PIL import Image
from synthetic_photos import synthetic_photo
from tiny_weights.insightface_packs import paint_face

from inscene.cli.console import report_error
from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.engine.what_if import what_if
from inscene.errors import MachineError
from inscene.gallery.inputs import OTHERS, Rights, gallery_inputs, spread, with_others
from inscene.gallery.plan import plan_gallery
from inscene.hub.image_metadata import metadata_of
from inscene.recipe import load_recipe

pytest.importorskip("facenet_pytorch", reason="the detector of the recipe")


def made(
    source: Path,
    out: Path,
    *settings: str,
    rights: Rights | None = None,
    workers: engine.Workers | None = None,
) -> engine.Summary:
    built = build(*load_recipe("gallery", [*SMALL, *settings]))
    planned = plan_gallery(built, [str(source)], rights or Rights(), str(out))
    return engine.run(planned, workers)


def rows(out: Path, part: str = "data") -> dict[str, dict[str, Any]]:
    return {row["sample_id"]: row for row in pq.read_table(out / part).to_pylist()}


def reasons(out: Path) -> dict[str, str]:
    return {name: f"{row['step']}/{row['reason']}" for name, row in rows(out, "drops").items()}


def pixels_of(row: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each fate."""
    folder = tmp_path_factory.mktemp("photos")
    eileen = folder / "eileen"
    save(eileen / "left.jpg", photo((20, 60, person()), seed=1))
    save(eileen / "tall.jpg", photo((70, 330, person()), seed=2, tall=True))
    turned = photo((330, 100, person()), seed=3)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(eileen / "turned.jpg", np.rot90(turned), exif=exif)  # upright again once it is read
    save(eileen / "two.jpg", photo((20, 60, person()), (340, 100, person(0.9)), seed=4))
    save(eileen / "with_passer_by.jpg", photo((20, 60, person()), (420, 40, person(0.4)), seed=5))
    save(eileen / "small.jpg", photo((20, 60, person()), seed=6)[::2, ::2])
    save(eileen / "nobody.jpg", photo(seed=7))
    save(eileen / "far.jpg", photo((300, 100, person(0.22)), seed=8))
    save(eileen / "blurred_face.jpg", photo((200, 60, person(blur_px=4)), seed=9))
    blurred = np.asarray(Image.fromarray(photo((200, 60, person()), seed=10)).resize((80, 50)))
    save(eileen / "blurred.jpg", np.asarray(Image.fromarray(blurred).resize((640, 400))))
    shutil.copy(eileen / "left.jpg", eileen / "left_again.jpg")
    Image.open(eileen / "tall.jpg").save(eileen / "tall_again.png")
    (eileen / "torn.jpg").write_bytes((eileen / "left.jpg").read_bytes()[:9000])
    (eileen / "words.png").write_text("no picture")
    (folder / "sidecar.yaml").write_text(
        "eileen: {licence: public domain}\neileen/left.jpg: {consent: NASA portrait}\n"
    )
    return folder


FATES = {
    "eileen/small.jpg": "min_size/too_small",
    "eileen/nobody.jpg": "detect_faces/no_face",
    "eileen/far.jpg": "face_area/face_too_small",
    "eileen/blurred_face.jpg": "sharpness/face_blurred",
    "eileen/blurred.jpg": "sharpness/scene_blurred",
    "eileen/left_again.jpg": "duplicates/duplicate",
    "eileen/tall_again.png": "duplicates/duplicate",
    "eileen/torn.jpg": "decode/image_truncated",
    "eileen/words.png": "decode/not_an_image",
}
KEPT = {"left.jpg", "tall.jpg", "turned.jpg", "two.jpg", "with_passer_by.jpg"}
# The far face is 25 px high: 0.3 % of this square, where 64 of 1024 px are 0.4 %.
EVERYTHING = (*NO_MODELS, "face_area.min=0.01")


@pytest.fixture(scope="module")
def scenes(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "out"
    summary = made(photos, out, *EVERYTHING, rights=Rights(licence="MIT", consent="form 7"))
    assert summary.inputs == summary.kept + len(FATES) == len(FATES) + len(KEPT)
    return out


def test_every_photo_ends_in_one_bucket_for_the_right_reason(scenes: Path) -> None:
    assert reasons(scenes) == FATES
    assert set(rows(scenes)) == {f"eileen/{name}" for name in KEPT}
    assert verify(str(scenes)).problems == []


def test_scenes_are_squares_with_the_whole_face(scenes: Path) -> None:
    for name, row in rows(scenes).items():
        assert pixels_of(row).shape == (384, 384, 3), name
        assert (row["width"], row["height"]) == (384, 384)
        x0, y0, x1, y1 = row["face_bbox"]
        assert 0 <= x0 < x1 <= 384, name
        assert 0 <= y0 < y1 <= 384, name
        assert row["scores"]["face_area"] == pytest.approx((x1 - x0) * (y1 - y0) / 384**2)
        left, right, nose, *_ = np.reshape(row["landmarks5"], (5, 2))
        assert x0 < left[0] < nose[0] < right[0] < x1
        assert row["scores"]["short_side_px"] == 400
        assert row["identity"] == "eileen"


def test_one_person_is_found_in_the_same_place_however_the_file_is_turned(scenes: Path) -> None:
    found = rows(scenes)
    heights = [row["face_bbox"][3] - row["face_bbox"][1] for row in found.values()]
    assert np.ptp(heights) < 12
    assert found["eileen/two.jpg"]["scores"]["prominent_faces"] == 2
    assert found["eileen/with_passer_by.jpg"]["scores"]["faces"] == 2
    assert found["eileen/with_passer_by.jpg"]["scores"]["prominent_faces"] == 1


def test_licence_and_consent(scenes: Path) -> None:
    found = rows(scenes)
    assert {row["licence"] for row in found.values()} == {"public domain"}
    consents = {name.rpartition("/")[2]: row["consent"] for name, row in found.items()}
    assert consents.pop("left.jpg") == "NASA portrait"
    assert set(consents.values()) == {"form 7"}


def test_the_table_depends_on_no_workers_and_no_order(
    photos: Path, scenes: Path, tmp_path: Path
) -> None:
    copy = tmp_path / photos.name
    for path in sorted(photos.rglob("*.*"), reverse=True):
        (copy / path.relative_to(photos)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy / path.relative_to(photos))
    rights = Rights(licence="MIT", consent="form 7")
    workers = engine.Workers("process", 2)
    made(copy, tmp_path / "out", *EVERYTHING, "shard_rows=64", rights=rights, workers=workers)
    one, other = verify(str(scenes)), verify(str(tmp_path / "out"))
    assert one.table_hash == other.table_hash
    assert reasons(tmp_path / "out") == FATES


def test_thresholds_are_moved_without_models(scenes: Path) -> None:
    assert what_if(str(scenes), ["face_area.min=0.001"]).gained == {
        "face_area/face_too_small": ["eileen/far.jpg"]
    }
    assert what_if(str(scenes), ["sharpness.face_min=0"]).gained == {
        "sharpness/face_blurred": ["eileen/blurred_face.jpg"]
    }
    assert what_if(str(scenes), ["short_side_px=401"]).count("lost") == len(KEPT)


def test_nothing_of_a_photos_metadata_is_written(tmp_path: Path) -> None:
    """Of what is kept, dropped with a thumbnail, and recorded."""
    with_all_metadata(tmp_path / "in" / "anna" / "kept.jpg", photo((20, 60, person()), seed=1))
    with_all_metadata(tmp_path / "in" / "anna" / "dropped.jpg", photo(seed=2))
    source = (tmp_path / "in" / "anna" / "kept.jpg").read_bytes()
    assert source.count(CANARY.encode()) >= 10
    small = thumbnail_of(source)
    assert small is not None
    assert CANARY.encode() in small
    assert max(Image.open(io.BytesIO(small)).size) == 160
    assert {"EXIF", "GPS", "XMP"} <= {one.split()[0] for one in metadata_of(source)}
    out = tmp_path / "out"
    made(tmp_path / "in", out, *NO_MODELS)
    assert set(rows(out)) == {"anna/kept.jpg"}
    (kept,), (dropped,) = rows(out).values(), rows(out, "drops").values()
    for cell in (kept["image"], dropped["thumbnail"]):
        assert metadata_of(cell["bytes"]) == []
        assert thumbnail_of(cell["bytes"]) is None
        assert CANARY.encode() not in cell["bytes"]
        assert not Image.open(io.BytesIO(cell["bytes"])).getexif()
    for part in ("data", "drops"):
        assert CANARY not in str(pq.read_table(out / part).to_pylist())
    for path in out.rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes(), path
    assert (kept["licence"], kept["consent"]) == ("unknown", "unknown")
    assert kept["camera"] is None


def test_without_weights_the_error_names_both_ways(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(MachineError) as error:
        made(photos, tmp_path / "out")
    report_error(error.value)
    said = capsys.readouterr().err
    assert "inscene weights pull buffalo_l musiq clip-rn50 maniqa" in said
    assert "--set people.keep=largest --set iqa=null" in said
    assert not (tmp_path / "out").exists()


def test_a_plan_needs_no_weights(
    photos: Path, tmp_path: Path, inscene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.delenv("INSCENE_WEIGHTS_MANIFEST", raising=False)
    plan = ["build", "gallery", photos, "--out", tmp_path / "out", "--plan"]
    shown = inscene(*plan).stdout
    assert f"gallery: {len(FATES) + len(KEPT)} inputs in 1 shard → " in shown
    assert "steps: decode → min_size → detect_faces → people → " in shown
    assert re.search(r"weights missing: 4, 1\.\d GB to download; [\d.]+ .B free in ", shown)
    assert re.search(r"  maniqa +543 MB  Apache-2.0\n", shown)
    assert "Run: inscene weights pull buffalo_l musiq clip-rn50 maniqa" in shown
    assert "The step people needs buffalo_l; iqa needs musiq, clip-rn50, maniqa." in shown
    assert "without: --set people.keep=largest --set iqa=null" in shown
    assert "recipe hash" not in shown  # it is taken of the weights too

    facts = json.loads(inscene(*plan, "--json").stdout)
    assert (facts["recipe_hash"], facts["without_weights"][-1]) == (None, "--set iqa=null")
    without = [part for one in NO_MODELS for part in ("--set", one)]
    facts = json.loads(inscene(*plan, *without, "--json").stdout)
    assert (facts["missing_weights"], facts["download_bytes"]) == ([], 0)
    assert len(facts["recipe_hash"]) == 64
    assert "weights: all here" in inscene(*plan, *without).stdout

    other = ("--set", "detect_faces.detector=yolov8-face", "--set", "people.detector=scrfd")
    shown = inscene(*plan, *other).stdout
    assert "The step detect_faces needs yolov8n-face; people needs buffalo_l; iqa" in shown
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "none").exists()


def test_the_command_line(inscene, photos: Path, tmp_path: Path) -> None:
    table = photos / "table.csv"
    table.write_text("path,identity\neileen/left.jpg,Eileen\neileen/nobody.jpg,Eileen\n")
    settings = [part for one in (*SMALL, *NO_MODELS) for part in ("--set", one)]
    try:
        inscene("build", "gallery", table, "--out", tmp_path / "out", "--consent", "x", *settings)
    finally:
        table.unlink()
    (row,) = rows(tmp_path / "out").values()
    assert (row["identity"], row["consent"], row["licence"]) == (
        "Eileen", "NASA portrait", "public domain",
    )  # fmt: skip


def test_of_one_persons_photos_a_few_are_named(tmp_path: Path) -> None:
    for index in range(50):
        save(tmp_path / "anna" / f"{index:02d}.png", np.asarray(synthetic_photo(index, 8, 8)))
    save(tmp_path / "bert" / "alone.png", np.asarray(synthetic_photo(99, 8, 8)))
    inputs = with_others(gallery_inputs([str(tmp_path)], [], Rights()))
    others = [dict(entry.columns).get(OTHERS) for entry in inputs]
    assert len(others[0]) == 33
    assert all(one is others[0] for one in others[:50])
    assert others[50] is None
    assert [one.id for one in others[0][:2]] == ["anna/00.png", "anna/01.png"]
    assert spread(range(10), 4) == [0, 2, 5, 7]


# -- With models: random ones in the official layout. The detector finds bright squares. -----------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, inscene) -> dict[str, str]:
    for package in ("insightface", "onnxruntime", "onnx", "pyiqa"):
        pytest.importorskip(package, reason="extras: gallery, bench")
    folder = tmp_path_factory.mktemp("models")
    with pulled(["buffalo_l", "musiq", "clip-rn50"], folder, inscene) as variables:
        pass
    return {name: value for name, value in variables.items() if name.startswith("INSCENE_")}


@pytest.fixture
def weights(models: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in models.items():
        monkeypatch.setenv(name, value)


SQUARES = (
    "detect_faces.detector=scrfd", "detect_faces.sizes_px=[640]", "refine_face.detector=scrfd",
    "refine_face.sizes_px=[320]", "people.detector=scrfd", "min_size.short_side_px=200",
    "square.side_px=320", "detect_faces.look_at_px=320", "sharpness.scene_min=0",
    "sharpness.face_min=0", "duplicates=null", "people.min=-1", "refine_face.min_overlap=0.1",
)  # fmt: skip


def squares(seed: int, *people: tuple[int, str]) -> np.ndarray:
    """A dark photo with bright squares at x, a multiple of the detector's stride; whose each is, a
    stripe says."""
    image = np.asarray(synthetic_photo(seed, 640, 320)) // 8
    for x, who in people:
        paint_face(image, x, 160, 64)
        lines = {"anna": np.s_[140:144, x - 24 : x + 24], "bert": np.s_[136:184, x - 16 : x - 12]}
        image[lines[who]] = 90
    return image


def gallery_of(folder: Path, shown: dict[str, Sequence[tuple[int, str]]]) -> Path:
    for seed, (name, people) in enumerate(shown.items()):
        save(folder / f"{name}.png", squares(seed, *people))
    return folder


@pytest.mark.parametrize("x_of_anna", [128, 512])
def test_of_several_people_the_one_of_the_gallery_stays(
    weights: None, tmp_path: Path, x_of_anna: int
) -> None:
    x_of_bert = 640 - x_of_anna
    folder = gallery_of(
        tmp_path / "in",
        {
            "anna/1": [(256, "anna")],
            "anna/2": [(192, "anna")],
            "anna/both": [(x_of_anna, "anna"), (x_of_bert, "bert")],
            "bert/1": [(256, "bert")],
            "bert/both": [(x_of_anna, "anna"), (x_of_bert, "bert")],
        },
    )
    made(folder, tmp_path / "out", *SQUARES, "iqa=null")
    found = rows(tmp_path / "out")
    assert set(found) == {"anna/1.png", "anna/2.png", "anna/both.png", "bert/1.png",
                          "bert/both.png"}  # fmt: skip
    for name, x in (("anna", x_of_anna), ("bert", x_of_bert)):
        row = found[f"{name}/both.png"]
        image = pixels_of(row)
        x0, _, x1, _ = (round(v) for v in row["face_bbox"])
        stripe = image[136:146, (x0 + x1) // 2 - 8 : (x0 + x1) // 2 + 8].min()
        assert (stripe < 150) == (name == "anna"), (name, x, row["face_bbox"])
        scores = row["scores"]
        assert scores["prominent_faces"] == 2
        assert 0.5 < scores["identity_mean"] <= scores["identity_max"] <= 1
        assert row["identity_model"] == "w600k_r50"
    assert (
        found["anna/1.png"]["scores"]["identity_mean"] is None
    )  # nothing to choose, nothing asked


def test_people_none_of_whom_is_known(weights: None, tmp_path: Path) -> None:
    both = [(128, "anna"), (512, "bert")]
    folder = gallery_of(
        tmp_path / "in", {"anna/1": [(256, "anna")], "anna/both": both, "cleo/both": both}
    )
    made(folder, tmp_path / "out", *SQUARES, "iqa=null", "people.min=0.99999")
    assert reasons(tmp_path / "out") == {
        "anna/both.png": "people/other_person",
        "cleo/both.png": "people/other_person",
    }
    drops = rows(tmp_path / "out", "drops")
    assert "most alike" in drops["anna/both.png"]["detail"]
    assert "no other photo" in drops["cleo/both.png"]["detail"]
    moved = what_if(str(tmp_path / "out"), ["people.min=0"])
    assert moved.gained == {"people/other_person": ["anna/both.png"]}


def test_whose_photo_it_is_depends_on_no_workers(weights: None, tmp_path: Path) -> None:
    shown = {
        f"{name}/{index}": [(256, name)] if index % 2 else [(128, "anna"), (512, "bert")]
        for name in ("anna", "bert")
        for index in range(6)
    }
    folder = gallery_of(tmp_path / "in", shown)
    hashes = set()
    for number, workers in enumerate([engine.Workers("inline"), engine.Workers("process", 2)]):
        out = tmp_path / str(number)
        settings = (*SQUARES, "iqa=null", "shard_rows=3", f"batch_rows={number + 1}")
        made(folder, out, *settings, workers=workers)
        hashes.add(verify(str(out)).table_hash)
    assert len(hashes) == 1


def test_iqa_measures_the_scene_and_drops_below_its_thresholds(
    weights: None, tmp_path: Path
) -> None:
    folder = gallery_of(tmp_path / "in", {f"anna/{n}": [(160 + 20 * n, "anna")] for n in range(2)})
    settings = (*SQUARES, "people.keep=largest", "square.side_px=224", "iqa.maniqa=null")
    out = tmp_path / "all"
    made(folder, out, *settings, "iqa.musiq.min=null", "iqa.clipiqa.min=null")
    found = rows(out)
    assert len(found) == 2
    musiq = {name: row["scores"]["musiq"] for name, row in found.items()}
    assert all(np.isfinite(list(musiq.values())))
    assert all(row["scores"]["maniqa"] is None for row in found.values())
    from inscene.quality.registry import METRICS

    scorer = METRICS["musiq"].load()
    for name, row in found.items():
        assert scorer([pixels_of(row)], []) == pytest.approx([musiq[name]], abs=1e-3)
    least = max(musiq.values()) + 1
    made(folder, tmp_path / "none", *settings, f"iqa.musiq.min={least}", "iqa.clipiqa.min=null")
    assert set(reasons(tmp_path / "none").values()) == {"iqa/low_musiq"}
    drops = rows(tmp_path / "none", "drops")
    assert all(row["scores"]["clipiqa"] is not None for row in drops.values())
    moved = what_if(str(tmp_path / "none"), ["musiq.min=null"])
    assert moved.count("gained") == 2
