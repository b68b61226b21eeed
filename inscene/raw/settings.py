"""How a RAW capture is developed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

WhiteBalance = Literal["camera", "daylight", "auto"]
Demosaic = Literal["linear", "vng", "ppg", "ahd", "dcb", "dht", "aahd"]
"""Those of LibRaw that need no pack under the GPL."""
Highlights = Literal["clip", "blend", "rebuild"]

SRGB_CURVE = (2.4, 12.92)
"""Power and slope of IEC 61966-2-1; LibRaw's own default is that of BT.709."""
_HIGHLIGHTS = {"clip": 0, "blend": 2, "rebuild": 5}


@dataclass(frozen=True)
class Settings:
    """What decides the pixels of a development, beside the file and LibRaw's version."""

    white_balance: WhiteBalance = "camera"
    auto_brightness: bool = False
    demosaic: Demosaic = "ahd"
    highlights: Highlights = "clip"
    bits: Literal[8, 16] = 8
    max_megapixels: float = 80.0

    def parameters(self) -> dict[str, Any]:
        """LibRaw's, by rawpy's names, as JSON values.

        The black level and the white level are the file's: LibRaw subtracts the one and scales by
        the other, and given again it would do so twice (rawpy #61, #78). ``adjust_maximum_thr``
        above 0 would take the brightest pixel for the white level, which makes the exposure of a
        photo depend on what it shows. ``user_flip`` 0 is LibRaw's word for "as the sensor lies":
        the pixels are turned afterwards, once.
        """
        return {
            "demosaic_algorithm": self.demosaic.upper(),
            "use_camera_wb": self.white_balance == "camera",
            "use_auto_wb": self.white_balance == "auto",
            "output_color": "sRGB",
            "gamma": list(SRGB_CURVE),
            "output_bps": self.bits,
            "no_auto_bright": not self.auto_brightness,
            "adjust_maximum_thr": 0.0,
            "highlight_mode": _HIGHLIGHTS[self.highlights],
            "user_flip": 0,
        }
