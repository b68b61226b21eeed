"""Restorers of aligned faces, with photographs of the person where they use any.

>>> from inscene.restore.ref_fr import AlignedFace, find_ref_fr
>>> ref_fr = find_ref_fr("perturbed:bad")
>>> ref_fr.needs_gt, ref_fr.needs_references
(True, False)
"""

from inscene.restore.ref_fr.base import SIDE_PX, AlignedFace, RefFR, restore_one
from inscene.restore.ref_fr.cache import Cached, cache_folder
from inscene.restore.ref_fr.find import absolute, find_ref_fr, known_names
from inscene.restore.ref_fr.perturbed import LEVELS, Level, Perturbed, PerturbedGT, Quality

__all__ = [
    "LEVELS",
    "SIDE_PX",
    "AlignedFace",
    "Cached",
    "Level",
    "Perturbed",
    "PerturbedGT",
    "Quality",
    "RefFR",
    "absolute",
    "cache_folder",
    "find_ref_fr",
    "known_names",
    "restore_one",
]
