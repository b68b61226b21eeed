"""Blur kernels measured on a grid over the image, as a value."""

from __future__ import annotations

import base64
import functools
import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inscene.degrade.values import FieldBlur
from inscene.errors import UsageError

MAX_NODES, MAX_SIZE = 64, 101
MAX_BYTES = 64 * 2**20  # an archive may claim any size


@dataclass(frozen=True, eq=False)
class PsfField:
    """Point spread functions at grid × grid nodes over the image, borders included.

    ``psf[row, column]`` is applied as a correlation, k × k with odd k, and sums to 1; float32. The
    first row of nodes lies on the top border, the first column on the left one. Raises
    ``UsageError`` for another array.
    """

    psf: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = self.psf.shape
        square = len(shape) == 4 and shape[0] == shape[1] and shape[2] == shape[3]
        if not square or shape[2] % 2 == 0 or not 2 <= shape[0] <= MAX_NODES or shape[2] > MAX_SIZE:
            raise UsageError(
                f"a PSF field of shape {shape}",
                why=f"It must be G × G × k × k with 2 to {MAX_NODES} nodes G a side and an odd k "
                f"of at most {MAX_SIZE}.",
            )
        if not np.issubdtype(self.psf.dtype, np.floating) or not np.isfinite(self.psf).all():
            raise UsageError("a PSF field that is not of finite floats")
        psf = self.psf.astype(np.float64)
        sums = psf.sum(axis=(2, 3), keepdims=True)
        sizes = np.abs(psf).sum(axis=(2, 3), keepdims=True)
        if (sums <= 0.1 * sizes).any():
            raise UsageError(
                "a PSF field with a kernel whose sum is near 0 or negative",
                why="A kernel is divided by its sum, so that flat areas stay as they are.",
            )
        # What is normalised as far as float32 goes stays as it is: twice changes nothing.
        scale = np.where(np.abs(sums - 1) < 1e-6 * np.maximum(1, sizes), 1, sums)
        normalised = np.ascontiguousarray(psf / scale, np.float32)
        normalised.flags.writeable = False
        object.__setattr__(self, "psf", normalised)

    @classmethod
    def load(cls, path: str | Path) -> PsfField:
        """The array ``psf`` of an ``.npz`` file; pickled objects in it are refused."""
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                    raise UsageError(
                        "is too large for a PSF field",
                        where=str(path),
                        why=f"It unpacks to more than {MAX_BYTES >> 20} MiB.",
                    )
            with np.load(path, allow_pickle=False) as arrays:
                if "psf" not in arrays:
                    raise UsageError(
                        f"holds {', '.join(map(repr, arrays)) or 'nothing'}, and no array 'psf'",
                        where=str(path),
                        next_step="Write it with numpy.savez(file, psf=...).",
                    )
                psf = arrays["psf"]
        except UsageError:
            raise
        except Exception as error:  # NumPy raises whatever the damage leads it to
            raise UsageError(
                "cannot be read as a PSF field", where=str(path), why=f"{error}."
            ) from error
        try:
            return cls(psf)
        except UsageError as error:
            error.where = str(path)
            raise

    @functools.cached_property
    def sha256(self) -> str:
        """Of the shape and the normalised numbers, in hex."""
        digest = hashlib.sha256(repr(self.psf.shape).encode())
        digest.update(self.psf.astype("<f4").tobytes())
        return digest.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; :meth:`from_dict` gives an equal field back."""
        values = base64.b64encode(self.psf.astype("<f4").tobytes()).decode()
        return {"sha256": self.sha256, "shape": list(self.psf.shape), "values": values}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PsfField:
        values = np.frombuffer(base64.b64decode(data["values"]), "<f4")
        return cls(values.reshape(data["shape"]))

    @property
    def blur(self) -> FieldBlur:
        """The value that stands for this field in an operator."""
        return FieldBlur(sha256=self.sha256)


def matching(field: PsfField | None, blur: FieldBlur) -> PsfField:
    """The field, if it is the one that the operator names; ``UsageError`` otherwise."""
    if field is None or field.sha256 != blur.sha256:
        raise UsageError(
            "the operator blurs by another PSF field"
            if field
            else "the operator needs a PSF field",
            why=f"Its SHA-256 is {blur.sha256}.",
            next_step="Give the .npz file that it was made with.",
        )
    return field
