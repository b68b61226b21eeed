"""Outputs that another program wrote."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from inscene import images
from inscene.bench.methods.base import Image, Method, Sample
from inscene.bench.methods.fit import fitted
from inscene.bench.methods.manifest import Resize
from inscene.errors import SampleError, UsageError
from inscene.recipe import content_hash


class Folder(Method):
    """Found by the sample's name without its ending; never by their order.

    Version v of a sample is ``NAME@v``; plain ``NAME`` serves version 0.
    """

    def __init__(self, name: str, folder: Path, resize_to_gt: Resize = "none") -> None:
        if not folder.is_dir():
            raise UsageError("there is no such folder", where=f"{name}: {folder}")
        self.name, self._folder, self._resize = name, folder, resize_to_gt
        self._files: dict[str, Path] = {}
        for path in images.iter_image_files(folder):
            stem = path.relative_to(folder).with_suffix("").as_posix()
            if stem in self._files:
                raise UsageError(
                    f"two outputs for {stem!r}: {self._files[stem].name} and {path.name}",
                    where=str(folder),
                    next_step="Leave one of them.",
                )
            self._files[stem] = path

    def restore(self, sample: Sample) -> Image:
        stem = str(PurePosixPath(sample.id).with_suffix(""))
        path = self._files.get(f"{stem}@{sample.version}")
        if path is None and sample.version == 0:
            path = self._files.get(stem)
        if path is None:
            raise SampleError("output_missing", f"no image named {stem}@{sample.version}")
        image = images.decode(images.read_bytes(path)).pixels
        return fitted(image, sample.size, self._resize)

    def fingerprint(self) -> dict[str, Any]:
        """Names, sizes and times: outputs that were written anew are another method."""
        facts = [
            (stem, path.stat().st_size, path.stat().st_mtime_ns)
            for stem, path in sorted(self._files.items())
            if path.is_file()
        ]
        outputs = content_hash(facts)
        return {"method": self.name, "outputs": outputs, "resize_to_gt": self._resize}

    def missing(self) -> list[str]:
        return [] if self._files else [f"{self._folder} holds no image."]

    def facts(self) -> dict[str, str]:
        resized = "" if self._resize == "none" else f", resized ({self._resize}) to the clean image"
        return {"reads": f"{len(self._files)} images in {self._folder}{resized}"}
