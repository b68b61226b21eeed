"""The one place that opens, decodes and encodes image files.

Everything else in the project works on the arrays that come out of here: ``uint8``, (H, W, 3),
sRGB, upright. A file that cannot give such an array is a :class:`~inscene.errors.SampleError` whose
reason is one of :class:`ImageFault`.

>>> data = read_bytes("photo.jpg")          # doctest: +SKIP
>>> decode(data).pixels.shape               # doctest: +SKIP
(3024, 4032, 3)
"""

from inscene.images.decode import Decoded, decode
from inscene.images.encode import encode_png, pixel_hash, thumbnail
from inscene.images.files import IMAGE_SUFFIXES, iter_image_files, read_bytes
from inscene.images.rules import ImageFault, Limits

__all__ = [
    "IMAGE_SUFFIXES",
    "Decoded",
    "ImageFault",
    "Limits",
    "decode",
    "encode_png",
    "iter_image_files",
    "pixel_hash",
    "read_bytes",
    "thumbnail",
]
