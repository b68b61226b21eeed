"""Sizes of RAM++ and where it lies; no model is loaded here."""

from __future__ import annotations

from dataclasses import dataclass

RAM_PLUS = ("ram-plus", "ram_plus_swin_large_14m.pth")
"""Weight and file."""
RAM_PLUS_TAGS = "ram-plus-tags"
TAG_LIST, THRESHOLDS = "ram_tag_list.txt", "ram_tag_list_threshold.txt"
CLIP = "clip-vit-b32"


@dataclass(frozen=True)
class RamPlusConfig:
    """The defaults are the official checkpoint's [recognize-anything, ram/models/ram_plus.py and
    ram/configs]."""

    image_px: int = 384
    """Side of the square that an image is squeezed into."""
    swin_width: int = 192
    swin_depths: tuple[int, ...] = (2, 2, 18, 2)
    swin_heads: tuple[int, ...] = (6, 12, 24, 48)
    window: int = 12
    """Of Swin, in its tokens."""
    classes: int = 4585
    descriptions: int = 51
    """Of each class: texts, as CLIP has embedded them."""
    text_dim: int = 512
    """Of a description's embedding, and of what the image is projected to."""
    width: int = 768
    """Of the tagging head."""
    heads: int = 4
    inner: int = 3072
    """Of the head's feed-forward layers."""
    layers: int = 2

    @property
    def image_dim(self) -> int:
        """Of Swin's last tokens: it doubles between stages."""
        return self.swin_width << len(self.swin_depths) - 1


OFFICIAL = RamPlusConfig()
