"""Where the five landmarks of an aligned face lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inscene.faces.face import Points


@dataclass(frozen=True, eq=False)
class Template:
    """``landmarks5`` in px of a square image of ``size_px``."""

    size_px: int
    landmarks5: Points


FFHQ_512 = Template(
    512,
    # facexlib (utils/face_restoration_helper.py): the mean of FFHQ's aligned faces.
    np.array(
        [
            [192.98138, 239.94708],
            [318.90277, 240.1936],
            [256.63416, 314.01935],
            [201.26117, 371.41043],
            [313.08905, 371.15118],
        ]
    ),
)

ARCFACE_112 = Template(
    112,
    # insightface (utils/face_align.py).
    np.array(
        [
            [38.2946, 51.6963],
            [73.5318, 51.5014],
            [56.0252, 71.7366],
            [41.5493, 92.3655],
            [70.7299, 92.2041],
        ]
    ),
)
