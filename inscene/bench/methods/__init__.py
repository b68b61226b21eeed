"""Restoration methods by name: those of ``manifests/methods``, manifests of the user's own, and
``folder:DIR``. A method turns an LQ image into one at the clean image's size.
"""

from inscene.bench.methods.base import Image, Method, Output, Sample
from inscene.bench.methods.find import FOLDER, absolute, find_method
from inscene.bench.methods.needs import describe, require, what_is_missing

__all__ = [
    "FOLDER",
    "Image",
    "Method",
    "Output",
    "Sample",
    "absolute",
    "describe",
    "find_method",
    "require",
    "what_is_missing",
]
