"""What a plan will take: GPU time and disk, from stated assumptions. No model is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from inscene.synthetic.generate.request import HEIGHT_PX, WIDTH_PX

TFLOP_A_STEP = 104.0
"""Of one image of 1024 × 1152 px: 84.5 of the transformer with 512 text tokens, 19.5 of InfuseNet;
counted by torch's FlopCounterMode over both architectures."""
TFLOP_A_SECOND = 200.0
"""[chosen] bfloat16, of one GPU. Not measured here: two thirds of an A100's peak, a fifth of an
H100's."""
PNG_BYTES_A_PIXEL = 1.7
"""[chosen] of photographs: 2 MB at 1024 × 1152 px."""


@dataclass(frozen=True)
class Estimate:
    jobs: int
    tries: int
    """That a job may take at most."""
    seconds_an_image: float
    is_assumed: bool
    """Nobody has measured these seconds."""
    scene_bytes: float
    """Of one image."""

    @property
    def gpu_hours(self) -> tuple[float, float]:
        """Of one GPU: where every first try is taken, and where every try is needed."""
        least = self.jobs * self.seconds_an_image / 3600
        return least, least * self.tries

    @property
    def disk_bytes(self) -> float:
        """Of the images that are kept, if all are; of rejected tries only numbers are stored."""
        return self.jobs * self.scene_bytes


def estimate(
    jobs: int, *, tries: int, steps: int, width_px: int, height_px: int, measured_s: float | None
) -> Estimate:
    """``measured_s``: seconds of an image on the user's own GPU, where they know them."""
    share = width_px * height_px / (WIDTH_PX * HEIGHT_PX)
    assumed_s = TFLOP_A_STEP * share * steps / TFLOP_A_SECOND
    return Estimate(
        jobs,
        tries,
        assumed_s if measured_s is None else measured_s,
        measured_s is None,
        width_px * height_px * PNG_BYTES_A_PIXEL,
    )
