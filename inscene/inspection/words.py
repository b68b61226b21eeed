"""What scores and columns are called on a page."""

from __future__ import annotations

SCORE_WORDS = {
    "musiq": ("MUSIQ", "0 to 100, higher is better"),
    "clipiqa": ("CLIP-IQA", "0 to 1, higher is better"),
    "maniqa": ("MANIQA", "0 to 1, higher is better"),
    "laplacian_var": ("Sharpness of the scene", "variance of the Laplacian"),
    "face_laplacian_var": ("Sharpness of the face", "variance of the Laplacian in the face box"),
    "background_laplacian_var": ("Sharpness beside the person", "variance of the Laplacian"),
    "short_side_px": ("Shorter side of the photo", "px"),
    "face_area": ("Face area", "share of the image"),
    "face_height_px": ("Face height", "px"),
    "face_height_share": ("Face height", "share of the image's height"),
    "faces": ("Faces found", "a photo"),
    "prominent_faces": ("Prominent faces", "at least a quarter of the largest one's area"),
    "identity": ("Likeness", "the cosine that decided"),
    "identity_conditioning": ("Likeness to the given reference", "cosine"),
    "identity_mean": ("Likeness, mean over references", "cosine"),
    "identity_max": ("Likeness to the nearest reference", "cosine"),
    "face_score": ("Face detector's confidence", "0 to 1"),
    "identity_score": ("Identity score", "cosine to the reference"),
    "iso": ("ISO", ""),
    "width": ("Width", "px"),
    "height": ("Height", "px"),
    "restore_s": ("Time to restore", "s"),
}
"""Score or column -> title, and its range or unit."""


_METRICS = {name: SCORE_WORDS[name][0] for name in ("musiq", "clipiqa", "maniqa")}


def title_of(name: str) -> tuple[str, str]:
    """``name`` as a survey has it: ``scores.musiq``, ``width``, ``value.psnr``."""
    bare = name.removeprefix("scores.")
    return SCORE_WORDS.get(bare, (bare.removeprefix("value."), ""))


def plain(word: str) -> str:
    """A snake_case word for people: ``low_musiq`` -> ``low MUSIQ``."""
    return " ".join(_METRICS.get(part, part) for part in word.split("_"))


def title(word: str) -> str:
    text = plain(word)
    return text[:1].upper() + text[1:]


def step_word(name: str) -> str:
    """Of a step of somebody's own, ``module:Class``, the class."""
    return plain(name.rpartition(":")[2])


def number(value: float) -> str:
    """Short, and never in powers of ten below a million."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def count(value: int) -> str:
    return f"{value:,}".replace(",", " ")  # a thin space


def share(part: int, whole: int) -> str:
    """Per cent that never says 0 of some nor 100 of not all."""
    if not whole:
        return ""
    value = 100 * part / whole
    if 0 < value < 0.1:
        return "< 0.1 %"
    if 99.9 < value < 100:
        return "> 99.9 %"
    return f"{value:.0f} %" if value >= 10 or value == int(value) else f"{value:.1f} %"
