"""``restore`` for image files: each becomes a PNG of its own, and a line in ``restored.jsonl``.

Datasets are restored by the engine, as in a bench run; a folder of photographs is to end as a
folder of photographs, the first of which can be looked at while the others are still to come.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from inscene import images
from inscene.bench.methods import Method, Output, Sample
from inscene.dataset.sources import Input, list_inputs, read_image
from inscene.dataset.store import Store, is_url, open_store
from inscene.engine.progress import Display, Silent
from inscene.errors import SampleError, UsageError
from inscene.faces.align import ByteImage
from inscene.faces.references import ReferenceFolder, ReferencePhotos
from inscene.recipe import content_hash
from inscene.restore.pairing import at_scene_size

RECORD = "restored.jsonl"
GAP_PX = 8
"""Between the two halves of a comparison."""


@dataclass
class Restored:
    """What became of all photographs of a run; a run's progress display reads it."""

    out: str
    inputs: int = 0
    kept: int = 0
    already: int = 0
    """Of the kept: restored by an earlier run in the same way."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Always empty: no photograph is refused for what it shows."""
    errors: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    """Word that a method left beside an output -> photographs."""


@dataclass(frozen=True)
class PhotoRun:
    """What is asked for."""

    inputs: tuple[Input, ...]
    method: Method
    out: str
    references: Path | None = None
    upscale: int = 1
    """Output side / input side."""
    side_by_side: bool = False
    again: bool = False
    """Also what has been restored in the same way already, and over files of another origin."""
    limit: int | None = None
    """Only the first inputs; names of outputs do not depend on it."""

    def __post_init__(self) -> None:
        if self.upscale < 1:
            raise UsageError(f"--upscale begins at 1, not {self.upscale}")
        if self.method.sees_clean:
            raise UsageError(
                f"{self.method.name} would look at clean images, and there are none",
                next_step=REAL,
            )
        if self.references is not None:
            ReferenceFolder(self.references)  # which raises where it is none

    def work(self) -> list[tuple[Input, str]]:
        """Each input with the name of its output."""
        return list(zip(self.inputs, output_names(self.inputs), strict=True))[: self.limit]


REAL = "Choose a --ref-fr that restores, such as faceme."


def restore_photos(run: PhotoRun, display: Display | None = None) -> Restored:
    """One photograph after the other; one that fails is recorded and leaves the others. An output
    is there whole or not at all, and what an earlier run made in the same way is kept.

    Raises :class:`inscene.errors.MachineError` for what this machine lacks, ``UsageError`` where an
    output would replace a file that is none.
    """
    display = display or Silent()
    store = open_store(run.out)
    how = content_hash([run.method.fingerprint(), run.upscale, _reference_hash(run)])
    record = _Record(store, how, run.side_by_side)
    _must_spare_files(run, record)
    record.write()
    photos = None if run.references is None else ReferencePhotos(run.references)
    result = Restored(run.out)
    display.resume(result)
    try:
        for entry, name in run.work():
            result.inputs += 1
            try:
                notes = _one(run, entry, name, photos, record, store, result)
            except SampleError as error:
                record.add({"input": entry.id, "error": error.reason, "detail": error.detail})
                result.errors[error.reason] = result.errors.get(error.reason, 0) + 1
                display.note(f"{entry.id}: {error}")
                display.add(1, 0, 0, 1)
                continue
            result.kept += 1
            for note in notes:
                result.notes[note] = result.notes.get(note, 0) + 1
            display.add(1, 1, 0, 0)
    finally:
        record.write()
    return result


def _one(
    run: PhotoRun,
    entry: Input,
    name: str,
    photos: ReferencePhotos | None,
    record: _Record,
    store: Store,
    result: Restored,
) -> Sequence[str]:
    """The method's notes, of now or of then."""
    data = read_image(entry)
    sha256 = hashlib.sha256(data).hexdigest()
    before = None if run.again else record.find(entry.id, sha256, name)
    if before is not None:
        result.already += 1
        return [str(note) for note in before.get("notes", ())]
    lq = images.decode(data).pixels
    height, width = (side * run.upscale for side in lq.shape[:2])
    columns = {"sample_id": entry.id, "sha256": sha256}
    references = () if photos is None else photos.of(columns)
    sample = Sample(entry.id, 0, lq, (width, height), references)
    started = time.perf_counter()
    (output,) = run.method.restore_many([sample])
    seconds = time.perf_counter() - started
    if isinstance(output, SampleError):
        raise output
    if output.image.shape != (height, width, 3):
        got = "×".join(map(str, output.image.shape[1::-1]))
        raise SampleError("wrong_output_size", f"{got}, not {width}×{height}")
    store.replace(name, images.encode_png(output.image))
    if run.side_by_side:
        both = side_by_side(at_scene_size(lq, (height, width)), output.image)
        store.replace(comparison_name(name), images.encode_png(both))
    facts = _facts(entry, sha256, name, output, output.seconds(seconds))
    record.add({**facts, **run.method.origin()})
    return output.notes


def _facts(entry: Input, sha256: str, name: str, output: Output, seconds: float) -> dict[str, Any]:
    return {
        "input": entry.id,
        "sha256": sha256,
        "output": name,
        "notes": list(output.notes),
        "restore_s": round(seconds, 3),
        "stage_s": {stage: round(value, 3) for stage, value in output.stage_s.items()},
    }


class _Record:
    """``restored.jsonl``, a line a photograph. Written whole, every two seconds and at the end: it
    is short, and a torn line would lose one that is there."""

    def __init__(self, store: Store, how: str, with_comparison: bool) -> None:
        self._store, self._how, self._with_comparison = store, how, with_comparison
        self._lines: dict[str, dict[str, Any]] = {}
        self._written_at = time.monotonic()
        self._is_new = store.size(RECORD) is None
        if not self._is_new:
            for line in store.read(RECORD).decode("utf-8", "replace").split("\n"):
                facts = _parsed(line)
                if facts is not None:
                    self._lines[facts["input"]] = facts

    def foreign(self, names: Sequence[str]) -> list[str]:
        """Those of the files that are there and of another origin: all, where no run has been."""
        return [name for name in names if self._is_new and self._store.size(name) is not None]

    def find(self, input_id: str, sha256: str, name: str) -> dict[str, Any] | None:
        """The line of this very photograph, if it has been restored in this very way and the output
        is there."""
        facts = self._lines.get(input_id, {})
        same = (facts.get("sha256"), facts.get("how"), facts.get("output"))
        if same != (sha256, self._how, name):
            return None
        there = all(self._store.size(file) is not None for file in self.files(name))
        return facts if there else None

    def files(self, name: str) -> list[str]:
        """What a photograph becomes."""
        return [name, comparison_name(name)] if self._with_comparison else [name]

    def add(self, facts: dict[str, Any]) -> None:
        self._lines[facts["input"]] = {**facts, "how": self._how}
        if time.monotonic() - self._written_at > 2:
            self.write()

    def write(self) -> None:
        text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in self._lines.values())
        self._store.replace(RECORD, text.encode())
        self._written_at = time.monotonic()


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and isinstance(facts.get("input"), str) else None


def output_names(inputs: Sequence[Input]) -> list[str]:
    """``a/b.jpg`` becomes ``a/b.png``; where two would become one, also on disks to which ``A`` is
    ``a``, both keep their endings."""
    plain = [PurePosixPath(entry.id).with_suffix(".png").as_posix() for entry in inputs]
    counts = Counter(name.casefold() for name in plain)
    comparisons = {comparison_name(name).casefold() for name in plain}
    alone = [counts[name.casefold()] == 1 and name.casefold() not in comparisons for name in plain]
    taken = {name.casefold() for name, free in zip(plain, alone, strict=True) if free}
    names = []
    for entry, name, free in zip(inputs, plain, alone, strict=True):
        chosen = name if free else f"{entry.id}.png"
        while not free and {chosen.casefold(), comparison_name(chosen).casefold()} & taken:
            chosen = f"{chosen.removesuffix('.png')}_.png"
        taken |= {chosen.casefold(), comparison_name(chosen).casefold()}
        names.append(chosen)
    return names


def comparison_name(name: str) -> str:
    return f"{name.removesuffix('.png')}.compare.png"


def side_by_side(lq: ByteImage, restored: ByteImage) -> ByteImage:
    """Both as they are, height × width × 3 of one size, the LQ left."""
    gap = np.full((lq.shape[0], GAP_PX, 3), 255, np.uint8)
    return np.hstack([lq, gap, restored])


def _reference_hash(run: PhotoRun) -> str | None:
    return None if run.references is None else ReferenceFolder(run.references).fingerprint()


def inputs_beside(source: str, out: str) -> list[Input]:
    """Those of a source that do not lie in the output's folder: what is there was restored already.

    Raises :class:`UsageError` where the two are the same folder.
    """
    inputs = list_inputs([source])
    if is_url(out) or is_url(source):
        return inputs
    folder = os.path.realpath(out)
    if folder == os.path.realpath(source):
        raise UsageError(
            "is both source and --out", where=source, next_step="Choose another --out."
        )
    if not folder.startswith(os.path.realpath(source) + os.sep):
        return inputs
    return [one for one in inputs if not os.path.realpath(one.file).startswith(folder + os.sep)]


def _must_spare_files(run: PhotoRun, record: _Record) -> None:
    work = run.work()
    if not is_url(run.out):
        sources = {os.path.realpath(entry.file) for entry, _ in work}
        for _, name in work:
            for file in record.files(name):
                if os.path.realpath(os.path.join(run.out, file)) in sources:
                    raise UsageError(
                        "an output would replace its own source",
                        where=os.path.join(run.out, file),
                        next_step="Choose another --out.",
                    )
    if run.again:
        return
    if clash := record.foreign([file for _, name in work for file in record.files(name)]):
        raise UsageError(
            "is there, and no run of inscene restore wrote it",
            where=f"{run.out.rstrip('/')}/{clash[0]}",
            next_step="Choose another --out, or give --overwrite.",
        )
