"""Left is what the viewer sees on the left: a mirrored photo has its landmarks mirrored, and left
and right exchanged."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from inscene.faces.crops import identity_crop
from inscene.faces.detectors.mtcnn import Mtcnn
from inscene.faces.face import LEFT_EYE, LEFT_MOUTH, NOSE, RIGHT_EYE, RIGHT_MOUTH

pytest.importorskip("facenet_pytorch")

MIRRORED = [RIGHT_EYE, LEFT_EYE, NOSE, RIGHT_MOUTH, LEFT_MOUTH]


def test_a_mirrored_photo_has_mirrored_landmarks() -> None:
    photo = data.astronaut()
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    (face,), (other,) = Mtcnn().detect([photo, mirrored])
    back = other.landmarks5[MIRRORED] * [-1, 1] + [photo.shape[1] - 1, 0]
    np.testing.assert_allclose(back, face.landmarks5, atol=3)
    crop, other_crop = (
        identity_crop(image, found.landmarks5)
        for image, found in ((photo, face), (mirrored, other))
    )
    # Not turned about or upside down: the mirrored crop is the crop, mirrored.
    alike, unlike = (
        np.corrcoef(crop.ravel(), side.ravel())[0, 1] for side in (other_crop[:, ::-1], other_crop)
    )
    assert alike > 0.9
    assert alike > unlike
