"""What is refused, and the stable word for it."""

from __future__ import annotations

import dataclasses
import enum

from inscene.errors import SampleError


class ImageFault(enum.StrEnum):
    """Every reason with which this package refuses a file; ``meaning`` says it in one line.

    The words are written into drop tables: add new ones, never rename one.
    """

    meaning: str

    def __new__(cls, reason: str, meaning: str) -> ImageFault:
        member = str.__new__(cls, reason)
        member._value_, member.meaning = reason, meaning
        return member

    FILE_MISSING = "file_missing", "nothing exists under this path"
    BROKEN_SYMLINK = "broken_symlink", "the path is a link to something that does not exist"
    IS_A_DIRECTORY = "is_a_directory", "the path is a folder, whatever its name ends with"
    SPECIAL_FILE = "special_file", "a pipe, socket or device: reading it could wait for ever"
    PERMISSION_DENIED = "permission_denied", "this user may not read the file"
    FILE_UNREADABLE = "file_unreadable", "the file system or remote store failed to deliver it"
    FILE_TOO_LARGE = "file_too_large", "more bytes than the limit"
    EMPTY_FILE = "empty_file", "the file has no bytes"

    NOT_AN_IMAGE = "not_an_image", "the content is no image format, whatever the name says"
    FORMAT_UNSUPPORTED = "image_format_unsupported", "an image, in a format that is not read here"
    TOO_MANY_PIXELS = "image_too_many_pixels", "the header announces more pixels than the limit"
    ANIMATED = "image_animated", "several frames: which one is the photo is not ours to choose"
    MULTIPAGE = "image_multipage", "a TIFF of several full-size pages"
    TRUNCATED = "image_truncated", "the file ends before its content does"
    CORRUPT = "image_corrupt", "the content contradicts itself or does not decode"
    PIXELS_UNSUPPORTED = (
        "image_pixels_unsupported",
        "samples with no fixed way to 8-bit sRGB: float, 32-bit, signed, Lab",
    )

    def error(self, detail: str = "") -> SampleError:
        """The error to raise, with a detail for people."""
        return SampleError(self.value, detail or self.meaning)


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one image may cost.

    ``max_megapixels`` (10⁶ pixels) is compared with the header, before any pixel is decoded. 80
    admits every full-frame camera; decoding that many takes 0.8 GB of memory, 1.5 GB with alpha.
    ``max_bytes`` bounds a file before it is read: 1 GiB holds 80 MP of uncompressed 16-bit RGBA.
    """

    max_megapixels: float = 80.0
    max_bytes: int = 2**30


DEFAULT_LIMITS = Limits()
