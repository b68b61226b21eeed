"""The face as face recognisers see it."""

from __future__ import annotations

import cv2
import numpy as np

from inscene.faces.align import ByteImage
from inscene.faces.face import Points
from inscene.faces.similarity import fit_similarity
from inscene.faces.templates import ARCFACE_112, Template


def identity_crop(
    image: ByteImage, landmarks5: Points, template: Template = ARCFACE_112
) -> ByteImage:
    """The face as the template has it: bilinear, black beyond the image, and not smoothed before,
    since the networks were trained on crops like these (insightface, utils/face_align.py).

    Raises ``ValueError`` for landmarks that all coincide.
    """
    to_template = fit_similarity(landmarks5, template.landmarks5)
    size = (template.size_px, template.size_px)
    warped = cv2.warpAffine(
        np.ascontiguousarray(image), to_template.matrix, size, flags=cv2.INTER_LINEAR
    )
    return np.asarray(warped, np.uint8)
