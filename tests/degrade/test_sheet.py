"""Contact sheets: the right pixels in the right places, and words that can be read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from inscene.degrade import Operator, degrade, load_profile
from inscene.degrade.arrays import ByteImage
from inscene.degrade.sheet import View, choose_cells, draw_sheet, write_sheet
from inscene.degrade.versions import degrade_version
from inscene.degrade.words import describe
from inscene.errors import RecipeError, UsageError

Draw = Callable[..., Operator]
GAP = 20


def column(sheet: ByteImage, place: int, column_px: int) -> ByteImage:
    left = GAP + place * (column_px + GAP)
    return sheet[:, left : left + column_px]


def rows_of(part: ByteImage, image: ByteImage) -> list[int]:
    """Where an image of the part's left border stands in it."""
    height, width = image.shape[:2]
    return [
        top
        for top in range(len(part) - height + 1)
        if np.array_equal(part[top : top + height, :width], image)
    ]


def test_the_clean_image_and_each_lq_are_there(small_photo: ByteImage, draw: Draw) -> None:
    photo = np.tile(small_photo, (2, 3, 1))[:320, :384]
    operators = [(f"number {index}", draw("s3diff", index)) for index in range(6)]
    sheet = draw_sheet(photo, operators, seed=3, column_px=400)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == GAP + 5 * (384 + GAP)
    (top,) = rows_of(column(sheet, 0, 384), photo)
    again = draw_sheet(photo, operators, seed=3, column_px=400)
    np.testing.assert_array_equal(sheet, again)
    other = draw_sheet(photo, operators, seed=4, column_px=400)
    assert not np.array_equal(column(sheet, 1, 384), column(other, 1, 384))
    np.testing.assert_array_equal(
        column(sheet, 0, 384)[top : top + 320], column(other, 0, 384)[top : top + 320]
    )
    shown = column(sheet, 1, 384)[top : top + 320]
    blocks = shown.reshape(80, 4, 96, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()  # each pixel of the LQ is a block
    error = np.abs(blocks[:, 0, :, 0].astype(int) - photo.reshape(80, 4, 96, 4, 3).mean((1, 3)))
    assert error.mean() < 30  # and it is this photo


@pytest.mark.parametrize(("height", "width"), [(120, 30), (30, 40), (1, 1), (33, 640), (900, 300)])
def test_captions_stay_in_their_columns(height: int, width: int, draw: Draw) -> None:
    """Nothing is drawn between the columns, at the borders, or over an image."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    long = "a-name-without-a-single-blank-that-is-wider-than-its-column-by-far" * 2
    operators = [(long, draw("realesrgan", index)) for index in range(5)]
    sheet = draw_sheet(image, operators, seed=0, column_px=320)
    column_px = (sheet.shape[1] - GAP) // 5 - GAP
    assert column_px >= 320
    (page,) = np.unique(sheet[0])
    for place in range(1, 6):
        gap = sheet[60:, place * (column_px + GAP) : place * (column_px + GAP) + GAP]
        assert (gap == page).all()
    assert (sheet[:, :GAP] == page).all()
    assert (sheet[:, -GAP:] == page).all()
    assert (sheet[-GAP:] == page).all()
    view = View.of(image, 320)
    assert len(rows_of(column(sheet, 0, column_px), np.asarray(view.enlarged(view.clean)))) == 1


def test_a_large_photo_is_cropped_at_full_size() -> None:
    image = np.random.default_rng(0).integers(0, 256, (500, 900, 3), np.uint8)
    view = View.of(image, 250)
    np.testing.assert_array_equal(view.clean, image[130:370, 330:570])
    assert view.shown == (240, 240)
    assert "240x240 at (330, 130) of 900x500" in view.note
    assert "1:1" in view.note
    upright = View.of(np.ascontiguousarray(image.swapaxes(0, 1)), 250)
    assert "at (130, 165) of 500x900" in upright.note  # above the middle


def test_a_small_photo_is_enlarged_by_a_whole_factor() -> None:
    view = View.of(np.zeros((30, 40, 3), np.uint8), 640)
    assert (view.zoom, view.shown, view.note) == (16, (640, 480), "40x30, enlarged 16 times")
    assert View.of(np.zeros((600, 640, 3), np.uint8), 640).note == "640x600, 1:1"


def test_words_follow_the_chain() -> None:
    operator = {
        "sem": 1,
        "sf": 4,
        "usm": True,
        "registration": "exact",
        "jpeg_backend": "sim",
        "first": {
            "blur": {"family": "iso", "size": 21, "sigma_x": 2.13, "sigma_y": 2.13},
            "resize": {"filter": "bicubic", "scale": 0.351},
            "noise": [
                {"kind": "gaussian", "sigma": 8.0, "gray": False},
                {"kind": "poisson", "scale": 1.2, "levels": 64, "gray": True},
            ],
            "jpeg": {"quality": 45.2},
        },
        "second": {
            "blur": {
                "family": "plateau_aniso",
                "size": 9,
                "sigma_x": 1.0,
                "sigma_y": 0.5,
                "theta": -0.5235987755982988,
                "beta": 1.3,
            },
            "resize": {"filter": "area", "scale": 1.0},
            "noise": [],
            "jpeg": {"quality": 80.0},
        },
        "final": {
            "order": "resize_sinc_jpeg",
            "filter": "bilinear",
            "sinc": {"family": "sinc", "size": 7, "cutoff": 1.5707963267948966},
        },
    }
    first = (
        "sharpened · iso sigma 2.1 · scale 0.351 bicubic · gaussian 8 · "
        "poisson 1.2 levels 64 gray · q45"
    )
    second = "plateau aniso sigma 1/0.5 at -30° beta 1.3 · scale 1 area"
    last = "to LQ size bilinear · sinc 0.5 pi"
    words = describe(Operator.from_dict(operator))
    assert words == f"{first} | {second} | {last} · q80"
    operator["final"]["order"] = "jpeg_resize_sinc"  # type: ignore[index]
    assert describe(Operator.from_dict(operator)) == f"{first} | {second} | q80 · {last}"
    alone = {**operator, "second": None}
    assert describe(Operator.from_dict(alone)) == f"{first} | {last}"


def test_the_font_has_every_character(draw: Draw) -> None:
    """A missing one is drawn as the box that stands for all that are missing."""
    font = ImageFont.load_default(20)
    box = bytes(font.getmask("\u2400"))
    names = ("s3diff", "realesrgan", "faceme")
    words = "".join(describe(draw(name, index)) for name in names for index in range(20))
    for char in set(words) - {" "}:
        assert bytes(font.getmask(char)) != box, char


def test_versions_are_those_of_a_dataset(tmp_path: Path, small_photo: ByteImage) -> None:
    file = tmp_path / "photo.png"
    Image.fromarray(small_photo).save(file)
    key = hashlib.sha256(file.read_bytes()).hexdigest()
    cells = choose_cells(key, seed=5, profile="realesrgan")
    assert len(cells) == 9
    for version in (0, 8):
        lq, record = degrade_version(
            small_photo, load_profile("realesrgan"), image_key=key, version=version, seed=5
        )
        cell = cells[version]
        assert cell.operator.operator_id == record["operator_id"]
        assert f"version {version}" in cell.name
        np.testing.assert_array_equal(degrade(small_photo, cell.operator, cell.noise_seed), lq)


def test_by_default_everything_that_is_shipped_is_shown() -> None:
    names = [cell.name for cell in choose_cells("key", seed=0)]
    assert names[:5] == ["d1", "d2", "d3", "d4", "faceme, version 0"]
    assert names[5::5] == [f"{name}, version 1" for name in ("faceme", "realesrgan", "s3diff")]
    assert len(names) == 19
    assert [cell.name for cell in choose_cells("key", seed=0, preset="d3")] == ["d3"]


def test_write(tmp_path: Path, small_photo: ByteImage) -> None:
    file, out = tmp_path / "photo.png", tmp_path / "new/sheet.png"
    Image.fromarray(small_photo).save(file)
    write_sheet(str(file), out, seed=0, profile="faceme")
    with Image.open(out) as sheet:
        assert sheet.mode == "RGB"
        assert max(sheet.size) < 4000


@pytest.mark.parametrize(
    ("source", "out", "options", "words"),
    [
        ("nowhere.png", "a.png", {}, "file_missing"),
        (".", "a.png", {}, "is_a_directory"),
        ("text.png", "a.png", {}, "not_an_image"),
        ("photo.png", "a.jpg", {}, "a sheet is a PNG file"),
        ("photo.png", "a.png", {"profile": "s3dif"}, "'s3diff'"),
        ("photo.png", "a.png", {"preset": "d7"}, "d7"),
    ],
)
def test_bad_input(
    source: str, out: str, options: dict[str, str], words: str, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no image")
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.png")
    with pytest.raises((UsageError, RecipeError)) as caught:
        write_sheet(str(tmp_path / source), tmp_path / out, seed=0, **options)
    assert words in str(caught.value)
    assert not (tmp_path / out).exists()
