"""Test images for measuring: crops of photographs that installed packages carry.

Small photographs are continued by their mirror image, not enlarged, so that a crop has the fine
detail of a photograph whatever its size.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inscene import images
from inscene.demo import find_photos
from inscene.seeds import Draws

ByteImage = npt.NDArray[np.uint8]

# Beside those of the demo, which are chosen for their people.
MORE = {
    "matplotlib": ["matplotlib/mpl-data/sample_data/grace_hopper.jpg"],
    "pyiqa": [
        "tests/test_efficiency_img_dir/SPAQ_10241.jpg",
        "tests/test_efficiency_img_dir/frame_4wrwr48cdk6rbcjl.jpg",
        "tests/test_efficiency_img_dir/frame_7gzdcz9sif0ekg31.jpg",
        "tests/test_efficiency_img_dir/frame_9ogwhvvy7gfj6jzh.jpg",
    ],
    "scikit-image": ["skimage/data/motorcycle_left.png", "skimage/data/rocket.jpg"],
}
MIN_SIDE_PX = 256
SHRINK = (0.6, 1.0)  # side after / side before; a range of it makes crops of one photo differ


def load_photos(folder: Path | None) -> list[ByteImage]:
    """RGB photographs, those in a folder or those of installed packages."""
    paths = list(images.iter_image_files(folder)) if folder else _installed()
    photos = [images.decode(images.read_bytes(path)).pixels for path in paths]
    photos = [photo for photo in photos if min(photo.shape[:2]) >= MIN_SIDE_PX]
    if not photos:
        raise SystemExit(
            f"No photographs of {MIN_SIDE_PX} px or more. Give a folder of some with --photos, "
            "or run: pip install scikit-image"
        )
    return photos


def _installed() -> list[Path]:
    paths = [path for found in find_photos().values() for path in found]
    for package, wanted in MORE.items():
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        paths += [Path(str(file.locate())) for file in files if file.as_posix() in wanted]
    return sorted({path for path in paths if path.is_file()})


def crop(photos: list[ByteImage], size_px: int, index: int) -> ByteImage:
    """The index-th size × size test image: the photos by turns, each time at another place."""
    import cv2

    draws = Draws("benchmark crop", size_px, index)
    photo = photos[index % len(photos)]
    shrink = draws.uniform("shrink", *SHRINK)
    photo = cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    if draws.coin("flip", 0.5):
        photo = photo[:, ::-1]
    missing = [max(0, size_px - side) for side in photo.shape[:2]]
    photo = np.pad(photo, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")
    top, left = (
        int(draws.uniform(name, 0, side - size_px + 1))
        for name, side in zip(("top", "left"), photo.shape[:2], strict=True)
    )
    return np.ascontiguousarray(photo[top : top + size_px, left : left + size_px])
