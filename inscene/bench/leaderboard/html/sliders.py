"""Before/after sliders: images of one sample on each other, with a divide that moves."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

from PIL import Image

from inscene import images

Example = tuple[str, Mapping[str, bytes]]
"""A title, and encoded images by label: LQ, a method's name, GT."""

SIDE_PX = 640
_QUALITY = 92  # of JPEG, colours at full size: what methods differ in must survive it


def sliders(examples: Sequence[Example]) -> str:
    """Each image is embedded once, its longer side at most 640 px. Raises ``SampleError`` for one
    that cannot be decoded."""
    return f'<div class="examples">{"".join(map(_slider, range(len(examples)), examples))}</div>'


def _slider(number: int, example: Example) -> str:
    title, by_label = example
    pictures = {label: _reduced(data) for label, data in by_label.items()}
    largest = max(pictures.values(), key=lambda picture: picture.width)
    shown = "".join(
        f'<div class="layer" data-label="{escape(label)}"><img src="{_data_uri(picture)}" '
        f'alt="{escape(f"{title}: {label}")}"><span class="tag">{escape(label)}</span></div>'
        for label, picture in pictures.items()
    )
    return (
        f'<figure class="compare"><figcaption>{escape(title)}</figcaption>'
        f'<div class="stage" style="--ratio:{largest.width}/{largest.height}">{shown}</div>'
        f"{_controls(number, list(pictures)) if len(pictures) > 1 else ''}</figure>"
    )


def _controls(number: int, labels: Sequence[str]) -> str:
    name = f"example-{number}"
    return (
        '<div class="controls" hidden>'
        f'<label for="{name}-left" class="unseen">Left image</label>'
        f'<select id="{name}-left" data-side="left">{_options(labels, 0)}</select>'
        f'<input type="range" min="0" max="100" value="50" aria-label="Where the images meet, in '
        f'per cent from the left">'
        f'<label for="{name}-right" class="unseen">Right image</label>'
        f'<select id="{name}-right" data-side="right">{_options(labels, 1)}</select></div>'
    )


def _options(labels: Sequence[str], chosen: int) -> str:
    return "".join(
        f"<option{' selected' if place == chosen else ''}>{escape(label)}</option>"
        for place, label in enumerate(labels)
    )


def _reduced(data: bytes) -> Image.Image:
    image = Image.fromarray(images.decode(data).pixels)
    image.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    return image


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
