"""A contact sheet: one photo beside its degraded versions, each with what was done to it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from inscene import images
from inscene.degrade.apply import degrade
from inscene.degrade.arrays import ByteImage
from inscene.degrade.fidelity import psnr_at_lq_size
from inscene.degrade.operator import Operator
from inscene.degrade.profile import load_profile
from inscene.degrade.words import describe
from inscene.errors import SampleError, UsageError
from inscene.images.page import COLUMNS, Page, Tile
from inscene.seeds import Draws
from inscene.shipped import shipped_names

COLUMN_PX = 640
VERSIONS = 5
"""Of each profile: as many as ``inscene degrade`` makes by default, and as fill a row."""
VERSIONS_ALONE = 2 * COLUMNS - 1
"""Of a profile that is shown alone: with the GT, two rows."""

_CROP_GRID = 16
"""px; sides of a crop that every scale factor in use divides."""
_MIN_COLUMN_PX = 320
"""Room for the captions of narrow images."""


@dataclass(frozen=True)
class Cell:
    """One degraded version to be shown."""

    name: str
    operator: Operator
    noise_seed: int


def draw_sheet(
    image: ByteImage, operators: Sequence[tuple[str, Operator]], *, seed: int, column_px: int
) -> ByteImage:
    """The image (uint8 height × width × 3) and its LQ by each named operator, five in a row.

    Each LQ is shown at the size of its clean image, each of its pixels as a block. No cell's image
    has a side longer than ``column_px``: of a larger image only a part in the middle (of upright
    ones: above the middle) is taken, at 1:1, and degraded alone, so that it shows fast; a smaller
    one is enlarged by a whole factor. ``seed`` is that of the noise fields. Raises as
    :func:`inscene.degrade.degrade`.
    """
    cells = [
        Cell(name, operator, Draws(seed, "sheet", index).seed("noise_seed"))
        for index, (name, operator) in enumerate(operators)
    ]
    return _draw_cells(image, cells, seed, column_px)


def write_sheet(
    source: str, out: Path, *, seed: int, profile: str | None = None, preset: str | None = None
) -> None:
    """Write the PNG sheet of one image file (path or URL).

    By default the clean image, every preset, and versions of every shipped profile; ``profile`` and
    ``preset`` (names or files) narrow that. The versions have the operators and noise seeds that
    ``inscene degrade`` gives them for this file with this seed.

    Raises :class:`UsageError` for a source that is no usable image, an unknown name, and an ``out``
    that does not end with ``.png``.
    """
    if out.suffix.lower() != ".png":
        raise UsageError("a sheet is a PNG file", where=str(out), next_step="Name it NAME.png.")
    try:
        data = images.read_bytes(source)
        image = images.decode(data).pixels
        cells = choose_cells(
            hashlib.sha256(data).hexdigest(), seed=seed, profile=profile, preset=preset
        )
        sheet = _draw_cells(image, cells, seed, COLUMN_PX)
    except SampleError as error:
        raise UsageError(
            "cannot be shown", where=source, why=f"{error}.", next_step="Name one image file."
        ) from error
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(images.encode_png(sheet))


def choose_cells(
    image_key: str, *, seed: int, profile: str | None = None, preset: str | None = None
) -> list[Cell]:
    """What :func:`write_sheet` shows beside the clean image. ``image_key`` is the SHA-256 of the
    image's file, which the draws depend on as those of a dataset do."""
    everything = profile is None and preset is None
    presets = shipped_names("pipelines", "presets") if everything else [preset] if preset else []
    profiles = (
        shipped_names("pipelines", "profiles") if everything else [profile] if profile else []
    )
    versions = VERSIONS if everything or preset else VERSIONS_ALONE
    return [
        *(_preset_cell(name, image_key, seed) for name in presets),
        *(cell for name in profiles for cell in _drawn_cells(name, image_key, seed, versions)),
    ]


def _preset_cell(name: str, image_key: str, seed: int) -> Cell:
    from inscene.degrade import load_operator

    return Cell(Path(name).stem, load_operator(name), Draws(seed, image_key, 0).seed("noise_seed"))


def _drawn_cells(name: str, image_key: str, seed: int, versions: int) -> list[Cell]:
    profile = load_profile(name)
    cells = []
    for version in range(versions):
        draws = Draws(seed, image_key, version)
        label = f"{profile.name}, version {version}"
        cells.append(Cell(label, Operator.draw(profile, draws), draws.seed("noise_seed")))
    return cells


def _draw_cells(image: ByteImage, cells: Sequence[Cell], seed: int, column_px: int) -> ByteImage:
    view = View.of(image, column_px)
    tiles = [Tile(view.enlarged(view.clean), "GT (clean)", view.note)]
    for cell in cells:
        lq = degrade(view.clean, cell.operator, cell.noise_seed)
        title = f"{cell.name}: {psnr_at_lq_size(lq, view.clean):.2f} dB"
        tiles.append(Tile(view.enlarged(lq), title, describe(cell.operator)))
    return Page(f"{_HEAD} Seed {seed}.", tiles, max(_MIN_COLUMN_PX, view.shown[0])).draw()


@dataclass(frozen=True)
class View:
    """What is shown of an image, and how much enlarged."""

    clean: ByteImage
    zoom: int
    note: str

    @classmethod
    def of(cls, image: ByteImage, column_px: int) -> View:
        height, width = image.shape[:2]
        if max(height, width) > column_px:
            side = max(_CROP_GRID, column_px // _CROP_GRID * _CROP_GRID)
            left, top = max(0, width - side) // 2, max(0, height - side) // 2
            if height >= width:
                top //= 2  # in upright photos of people the faces are up there
            clean = np.ascontiguousarray(image[top : top + side, left : left + side])
            shown = f"{clean.shape[1]}x{clean.shape[0]} at ({left}, {top})"
            return cls(clean, 1, f"{shown} of {width}x{height}, degraded alone; 1:1")
        zoom = max(1, column_px // max(height, width))
        note = f"{width}x{height}" + (f", enlarged {zoom} times" if zoom > 1 else ", 1:1")
        return cls(image, zoom, note)

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of what is drawn, px."""
        return self.clean.shape[1] * self.zoom, self.clean.shape[0] * self.zoom

    def enlarged(self, image: ByteImage) -> Image.Image:
        """The clean image or an LQ at the size of what is drawn."""
        return Image.fromarray(image).resize(self.shown, Image.Resampling.NEAREST)


_HEAD = (
    "dB: RGB PSNR of the LQ to the clean image (GT) at LQ size, reduced by area mean. Each LQ is "
    "shown at GT size, every pixel as a block."
)
