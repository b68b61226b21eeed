"""The separable unsharp mask against the dense one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from planes import pixels, planes

from inscene.degrade import usm
from inscene.degrade.arrays import ByteImage
from inscene.degrade.usm import SIGMA, SIZE


def sharpen(image: np.ndarray) -> np.ndarray:
    return pixels(usm.sharpen(planes(image)))


def test_separable_equals_dense(small_photo: ByteImage) -> None:
    image = small_photo.astype(np.float32) / np.float32(255)
    line = cv2.getGaussianKernel(SIZE, 0)  # σ from OpenCV's own rule
    dense = (line @ line.T).astype(np.float32)

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.filter2D(x, -1, dense, borderType=cv2.BORDER_REFLECT_101)

    residual = image - blur(image)
    soft = blur((np.abs(residual) * 255 > 10).astype(np.float32))
    expected = soft * np.clip(image + 0.5 * residual, 0, 1) + (1 - soft) * image
    np.testing.assert_allclose(sharpen(image), expected, atol=2e-6)
    assert np.abs(expected - image).max() > 0.05


def test_sigma_is_that_of_opencvs_rule() -> None:
    assert pytest.approx(0.3 * ((SIZE - 1) / 2 - 1) + 0.8) == SIGMA


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (3, 2)])
def test_flat_and_tiny_images_stay(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 0.3, np.float32)
    np.testing.assert_allclose(sharpen(image), image, atol=1e-6)
