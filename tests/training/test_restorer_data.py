"""What the restorer is trained on: which images, which degradation, which crop, which face."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_restorer import cell, face_row, pair_row, photo, tiny, write_photos, write_table
from PIL import Image
from skimage import data

from inscene.degrade.apply import enlarge
from inscene.errors import SampleError, UsageError
from inscene.quality.psnr import psnr_rgb
from inscene.restore.pairing import FacePlace, at_scene_size
from inscene.seeds import Draws
from inscene.training.restorer.data import CropSource, Example, crop, micro_batches
from inscene.training.restorer.samples import PairSample, PhotoSample, Samples, list_samples
from inscene.training.restorer.scenes import Scene, SceneReader
from inscene.training.restorer.validation import Validation

CPU = torch.device("cpu")
LANDMARKS = [205.0, 102.0, 247.0, 104.0, 225.0, 129.0, 202.0, 139.0, 245.0, 142.0]
"""Of scikit-image's astronaut, px."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "p", 6)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Four scenes with three versions each; the first has faces in its versions 0 and 1."""
    folder = tmp_path_factory.mktemp("tables")
    pairs = [pair_row(sample, version) for sample in range(4) for version in range(3)]
    faces = [face_row(0, 0), face_row(0, 1)]
    return (
        write_table("pairs", folder / "pairs.parquet", pairs),
        write_table("face-pairs", folder / "faces.parquet", faces),
    )


def listed(*sources: object, **options: Any) -> Samples:
    options = {"seed": 0, "hold_back": 0, **options}
    return list_samples([str(one) for one in sources], **options)


def source(samples: Samples, batch: int = 3, seed: int = 0, **choices: Any) -> CropSource:
    return CropSource(samples.train, tiny(data=choices).data, batch=batch, seed=seed)


def same(one: Example, other: Example) -> bool:
    faces = (one.face or (), other.face or ())
    return (
        (one.sample_id, one.version, one.face_from)
        == (other.sample_id, other.version, other.face_from)
        and np.array_equal(one.lq, other.lq)
        and np.array_equal(one.hq, other.hq)
        and all(np.array_equal(*pair) for pair in zip(*faces, strict=True))
    )


# -- Which samples ------------------------------------------------------------------------------


def test_face_pairs_are_found_by_sample_and_version(tables: tuple[str, str]) -> None:
    samples = listed(*reversed(tables))
    assert [one.id for one in samples.train] == ["0.png", "1.png", "2.png", "3.png"]
    first = samples.train[0]
    assert isinstance(first, PairSample)
    assert [one.version for one in first.versions] == [0, 1, 2]
    found = [one.face and one.face.id for one in first.versions]
    assert found == ["0.png@0", "0.png@1", None]
    assert samples.with_face_pair == 2


def test_what_is_held_back_is_never_trained_on(photos: Path) -> None:
    samples = listed(photos, hold_back=5)
    assert len(samples.validation) == 1  # a tenth at most, and one at least
    assert len(samples.train) == 5
    assert not {one.id for one in samples.train} & {one.id for one in samples.validation}
    assert samples == listed(photos, hold_back=5)
    others = {listed(photos, hold_back=1, seed=seed).validation[0].id for seed in range(12)}
    assert len(others) > 2
    own = listed(photos, hold_back=2, validation=str(photos))
    assert (len(own.train), len(own.validation)) == (6, 2)


def test_photographs_of_one_name_in_two_folders(tmp_path: Path) -> None:
    folders = [write_photos(tmp_path / name / "train", 2) for name in ("a", "b")]
    samples = listed(*folders)
    assert [one.id for one in samples.train] == [
        f"{name}/train/{number:02d}.png" for name in ("a", "b") for number in range(2)
    ]


def test_splits_are_kept(tmp_path: Path) -> None:
    splits = ["train", "train", "val", "test", "val"]
    rows = [pair_row(number, 0, split=split) for number, split in enumerate(splits)]
    samples = listed(write_table("pairs", tmp_path / "p.parquet", rows), hold_back=1)
    assert [one.id for one in samples.train] == ["0.png", "1.png"]
    assert len(samples.validation) == 1
    assert samples.validation[0].split == "val"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p, f, t: [f], "none of the scenes"),
        (lambda p, f, t: [p, p.replace("pairs", "./pairs")], "occurs twice"),
        (
            lambda p, f, t: [p, write_table("face-pairs", t / "f.parquet", [face_row(9, 0)])],
            "none of the face pairs belongs",
        ),
        (
            lambda p, f, t: [write_table("pairs", t / "p.parquet", [pair_row(0, 0, split="test")])],
            "nothing is left",
        ),
    ],
)
def test_data_that_cannot_be_used(
    make: Any, words: str, tables: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        listed(*make(*tables, tmp_path))


def test_changed_data_are_other_data(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "p", 3)
    before = listed(folder).states
    assert listed(folder).states == before
    assert listed(folder, hold_back=1, seed=3).states == before
    write_photos(folder, 1, width=81)
    assert listed(folder).states != before


# -- Which degradation --------------------------------------------------------------------------


def test_each_epoch_takes_one_of_the_stored_versions(tables: tuple[str, str]) -> None:
    made = source(listed(*tables), batch=4)
    seen: dict[str, set[int]] = {}
    for epoch in range(24):
        batch = made.batch(epoch)  # a batch is an epoch
        assert sorted(one.sample_id for one in batch) == ["0.png", "1.png", "2.png", "3.png"]
        for one in batch:
            seen.setdefault(one.sample_id, set()).add(one.version)
            wanted = one.sample_id == "0.png" and one.version < 2
            assert (one.face_from == "face-pairs") == wanted
    assert all(versions == {0, 1, 2} for versions in seen.values())


def test_the_lq_comes_to_its_scenes_size_as_in_inference(tables: tuple[str, str]) -> None:
    samples = listed(*tables)
    scene = SceneReader(tiny().data).read(samples.train[1], 0, Draws(0))
    assert scene.small.shape == (16, 16, 3)
    assert scene.small[0, 0, 0] == scene.version
    assert np.array_equal(scene.lq, at_scene_size(scene.small, (64, 64)))
    assert np.array_equal(scene.bicubic(), enlarge(scene.small, (64, 64)))
    assert not np.array_equal(scene.bicubic(), scene.lq)
    assert np.array_equal(scene.hq, photo(1, 64))


def test_photographs_are_degraded_anew_in_each_epoch(photos: Path) -> None:
    samples = listed(photos)
    reader = SceneReader(tiny().data)
    (sample, *_) = samples.train
    assert isinstance(sample, PhotoSample)
    scenes = [reader.read(sample, epoch, Draws(0, epoch)) for epoch in range(3)]
    for scene in scenes:
        assert scene.hq.shape == scene.lq.shape == (64, 64, 3)
        assert scene.small.shape == (16, 16, 3)
        # The same place of the same photograph, degraded.
        assert 15 < psnr_rgb(scene.lq, scene.hq) < 45
    assert not np.array_equal(scenes[0].small, scenes[1].small)


def test_a_face_pair_of_another_degradation_is_refused(
    tables: tuple[str, str], tmp_path: Path
) -> None:
    rows = [face_row(0, version, operator_id="other") for version in range(3)]
    faces = write_table("face-pairs", tmp_path / "f.parquet", rows)
    with pytest.raises(UsageError, match="face_pair_of_another_degradation"):
        source(listed(tables[0], faces), batch=4).batch(0)


# -- Which face ---------------------------------------------------------------------------------


def test_a_stand_in_is_one_place_of_lq_and_hq(photos: Path) -> None:
    reader, (sample, *_) = SceneReader(tiny().data), listed(photos).train
    sides = set()
    for seed in range(6):
        scene = reader.read(sample, 0, Draws(seed))
        assert scene.face is not None
        lq, hq = scene.face
        side = len(hq)
        sides.add(side)
        assert lq.shape == hq.shape == (side, side, 3)
        places = [
            (y, x)
            for y in range(65 - side)
            for x in range(65 - side)
            if np.array_equal(scene.hq[y : y + side, x : x + side], hq)
        ]
        assert len(places) == 1
        ((y, x),) = places
        assert np.array_equal(scene.lq[y : y + side, x : x + side], lq)
        assert scene.face_from == "stand-in"
    assert len(sides) > 1
    assert sides <= set(range(32, 37))


def test_stored_landmarks_give_the_clean_face_as_restored_ones_are(tmp_path: Path) -> None:
    image = np.ascontiguousarray(data.astronaut())
    row = pair_row(0, 0, landmarks5=LANDMARKS)
    small = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)
    row |= {"hq": cell(image), "lq": cell(small)}
    table = write_table("pairs", tmp_path / "p.parquet", [row])
    scene = SceneReader(tiny().data).read(listed(table).train[0], 0, Draws(0))
    place = FacePlace.of(np.array(LANDMARKS).reshape(5, 2), (512, 512))
    pair = place.pair(scene.lq, place.align(image))
    assert scene.face_from == "landmarks"
    assert scene.face is not None
    assert np.array_equal(scene.face[0], pair.lq)
    assert np.array_equal(scene.face[1], pair.hq)


@pytest.mark.parametrize("scene_px", [128, 256])
def test_a_photographs_window_holds_its_face(scene_px: int, tmp_path: Path) -> None:
    """As large as the face where that is larger than ``scene_px``."""
    Image.fromarray(data.astronaut()).save(tmp_path / "a.png")
    line = {"file_name": "a.png", "landmarks5": LANDMARKS}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    (sample,) = listed(tmp_path).train
    reader = SceneReader(tiny(data={"scene_px": scene_px}).data)
    face = FacePlace.of(np.array(LANDMARKS).reshape(5, 2), (512, 512)).box
    side = max(scene_px, -(-face.height // 4) * 4)
    for seed in range(4):
        scene = reader.read(sample, 0, Draws(seed))
        assert scene.face_from == "landmarks"
        assert scene.hq.shape == (side, side, 3)
        assert scene.face is not None
        assert scene.face[0].shape[:2] == (face.height, face.width)


def test_without_a_stand_in_there_is_no_face(photos: Path) -> None:
    batch = source(listed(photos), faces={"stand_in": False}).batch(0)
    assert {one.face_from for one in batch} == {"none"}
    assert [one.face for one in batch] == [None] * 3
    dropped = source(listed(photos), batch=40, faces={"drop": 0.5}).batch(0)
    assert 8 < sum(one.face is None for one in dropped) < 32


# -- Which crop ---------------------------------------------------------------------------------


def test_a_batch_is_a_function_of_its_step(photos: Path) -> None:
    samples = listed(photos)
    one, other = source(samples), source(samples)
    wanted = [one.batch(step) for step in range(4)]
    travelled = pickle.loads(pickle.dumps(other))
    for step in (3, 0, 2, 1):
        for found in (other.batch(step), travelled.batch(step)):
            assert all(map(same, found, wanted[step]))
    again = source(samples, seed=1).batch(0)
    assert not all(map(same, again, wanted[0]))
    # Each epoch has every image once.
    assert sorted(e.sample_id for b in wanted[:2] for e in b) == [s.id for s in samples.train]


def test_a_mirrored_sample_has_a_mirrored_face(photos: Path) -> None:
    samples = listed(photos)
    still = source(samples, batch=12, flip=False).batch(0)
    moved = source(samples, batch=12, flip=True).batch(0)
    flipped = 0
    for one, other in zip(still, moved, strict=True):
        assert one.face is not None
        assert other.face is not None
        turned = not np.array_equal(one.hq, other.hq)
        flipped += turned
        for before, after in [(one.lq, other.lq), *zip(one.face, other.face, strict=True)]:
            assert np.array_equal(before[:, ::-1] if turned else before, after)
    assert 0 < flipped < 12


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 90), st.integers(20, 90), st.sampled_from([16, 32]), st.integers(0, 99))
def test_crops_of_any_scene(height: int, width: int, side: int, seed: int) -> None:
    numbers = np.arange(height * width, dtype=np.int64).reshape(height, width)
    hq = np.stack([numbers >> 8, numbers & 255, numbers * 0], -1).astype(np.uint8)
    scene = Scene("s", 0, hq, 255 - hq, hq, None, "none")
    for draws in (None, Draws(seed)):
        lq, cut = crop(scene, side, draws)
        assert lq.shape == cut.shape == (side, side, 3)
        assert np.array_equal(lq, 255 - cut)  # of one place
    if min(height, width) >= side:
        cut = crop(scene, side, Draws(seed))[1].astype(np.int64)
        flat = cut[..., 0] * 256 + cut[..., 1]
        assert (np.diff(flat, axis=1) == 1).all()
        assert (np.diff(flat, axis=0) == width).all()


def test_a_scene_that_is_much_too_small() -> None:
    image = photo(0, 12)
    with pytest.raises(SampleError, match="scene_too_small"):
        crop(Scene("s", 0, image, image, image, None, "none"), 32)


def test_images_that_cannot_be_used(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "p", 3)
    (folder / "01.png").write_bytes(b"no image")
    samples = listed(folder)
    with pytest.raises(UsageError, match=r"01\.png: .*data\.unusable=skip"):
        source(samples).batch(0)
    batch = source(samples, unusable="skip").batch(0)
    assert sum(one.replaced for one in batch) > 0
    assert "01.png" not in {one.sample_id for one in batch}
    assert all(map(same, batch, source(samples, unusable="skip").batch(0)))


# -- Batches and validation ---------------------------------------------------------------------


def test_scenes_with_and_without_a_face_do_not_share_a_micro_batch(photos: Path) -> None:
    examples = source(listed(photos), batch=11, faces={"drop": 0.5}).batch(0)
    with_face = sum(one.face is not None for one in examples)
    assert 0 < with_face < 11
    parts = micro_batches(examples, 2, CPU)
    for part in parts:
        assert len({pair is None for pair in part.pairs}) == 1
        assert part.lq.shape == (len(part.pairs), 3, 32, 32)
        assert part.lq.abs().max() <= 1
    assert sum(len(part.lq) for part in parts) == 11
    assert sum(pair is not None for part in parts for pair in part.pairs) == with_face


def test_validation_is_the_same_each_time(photos: Path) -> None:
    samples = listed(photos, hold_back=2, validation=str(photos))
    one, other = (Validation(samples.validation, tiny().data, crop_px=32, seed=0) for _ in range(2))
    for a, b in zip(one.scenes, other.scenes, strict=True):
        assert np.array_equal(a.lq, b.lq)
        assert np.array_equal(a.hq, b.hq)
    perfect = one.measure([scene.hq for scene in one.scenes])
    assert perfect["psnr"] == pytest.approx(80)
    assert perfect["ssim"] == pytest.approx(1)
    assert perfect["psnr_gain"] == pytest.approx(80 - perfect["psnr_bicubic"])
    nothing = one.measure([scene.bicubic for scene in one.scenes])
    assert nothing["psnr_gain"] == nothing["ssim_gain"] == 0
    sheet = one.grid([scene.hq for scene in one.scenes], 6)
    assert sheet.shape == (2 * 34 - 2, 3 * 34 - 2, 3)
    assert np.array_equal(sheet[34:, :32], one.scenes[1].lq)
    assert np.array_equal(sheet[34:, 68:], one.scenes[1].hq)
