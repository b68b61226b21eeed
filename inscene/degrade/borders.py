"""What lies beyond the border of an image."""

from __future__ import annotations

from inscene.degrade.compiled import compiled


@compiled
def reflected(index: int, length: int) -> int:
    """``index`` mirrored into 0..length-1; the outermost pixel is not repeated (OpenCV's
    ``BORDER_REFLECT_101``), except where it is the only one."""
    if 0 <= index < length:
        return index
    if length == 1:
        return 0
    period = 2 * (length - 1)
    index %= period
    return index if index < length else period - index
