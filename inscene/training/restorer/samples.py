"""What there is to train on: pairs with their face pairs, and photographs that are degraded on the
way. Listed, sorted, and divided into what is trained on and what is held back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from inscene.dataset.sources import Input, list_inputs
from inscene.errors import UsageError
from inscene.seeds import derive_key


@dataclass(frozen=True)
class PairVersion:
    """One degradation of a scene."""

    version: int
    pair: Input
    """A row of a table of pairs, or of a folder with LQ images beside the clean ones."""
    face: Input | None
    """A row of a table of face pairs; None where its scene has none there."""


@dataclass(frozen=True)
class PairSample:
    """A scene with all of its stored degradations, of which each epoch takes one."""

    id: str
    split: str | None
    versions: tuple[PairVersion, ...]


@dataclass(frozen=True)
class PhotoSample:
    """A clean image, which each epoch degrades anew."""

    id: str
    split: str | None
    photo: Input


Sample = PairSample | PhotoSample


@dataclass(frozen=True)
class Samples:
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    """Never trained on; in an order of the seed, so that the first ones are of all kinds."""
    with_face_pair: int
    """How many stored degradations, of both, have a row of face pairs."""
    states: tuple[str, ...]
    """Of all images of the sources, sorted; changes when any does: a resumed run must not mix old
    and new."""


def list_samples(
    sources: Sequence[str], *, seed: int, hold_back: int, validation: str | None = None
) -> Samples:
    """``sources`` are datasets of pairs, of face pairs (found to their pairs by ``sample_id`` and
    ``version``), datasets of scenes, and folders of photographs.

    ``hold_back`` images at most are for validation: those of the ``validation`` source where there
    is one; else rows of the split ``val``; else those that the seed chooses, at most a tenth. Rows
    of the split ``test`` are left alone.

    Raises ``UsageError``: a source that cannot be used, two samples of one name, face pairs without
    their pairs, nothing left to train on.
    """
    listed, faces = _read_sources(sources)
    if not listed:
        raise UsageError(
            "there are face pairs, and none of the scenes that they are of",
            where=", ".join(sources),
            next_step="Name the dataset of pairs too.",
        )
    samples, matched = _joined(listed, faces)
    if faces and not matched:
        raise UsageError(
            "none of the face pairs belongs to any of the pairs",
            where=", ".join(sources),
            why="They are found by sample_id and version.",
            next_step="Were they made from these pairs? inscene inspect shows both.",
        )
    states = [_state(one) for one in samples]
    if hold_back and validation is not None:
        own, its_faces = _read_sources([validation])
        held, _ = _joined(own, its_faces)
        states += [f"validation {_state(one)}" for one in held]
        train = [one for one in samples if one.split != "test"]
        held = [one for one in held if one.split != "test"]
    else:
        train, held = _divided(samples, seed, hold_back)
    if not train:
        raise UsageError(
            "nothing is left to train on",
            where=", ".join(sources),
            why=f"Of {len(samples)} images {len(held)} are held back for validation.",
            next_step="Give more images, or another validation.source, or validation.images: 0.",
        )
    held = sorted(held, key=lambda one: derive_key(seed, "validation", one.id))[:hold_back]
    return Samples(tuple(train), tuple(held), matched, tuple(sorted(states)))


def _read_sources(sources: Sequence[str]) -> tuple[list[Input], list[Input]]:
    """Pairs and photographs, and face pairs. Each source alone, so that ids are the samples' own
    and face pairs find theirs; photographs of several sources have the source's name before
    theirs, since cameras give the same names again and again."""
    scenes: list[Input] = []
    faces: list[Input] = []
    for source in sources:
        inputs = list_inputs([source])
        of_faces = [one for one in inputs if _is_face_pair(one)]
        if of_faces and len(of_faces) < len(inputs):
            raise UsageError("holds face pairs and other tables", where=source)
        if len(sources) > 1 and not of_faces and not any(one.has("lq") for one in inputs):
            prefix = "/".join(source.rstrip("/").split("/")[-2:])
            inputs = [replace(one, id=f"{prefix}/{one.id}") for one in inputs]
        (faces if of_faces else scenes).extend(inputs)
    return scenes, faces


def _is_face_pair(entry: Input) -> bool:
    return entry.has("lq_face") and entry.has("hq_face")


def _joined(scenes: Iterable[Input], faces: Iterable[Input]) -> tuple[list[Sample], int]:
    by_id: dict[str, Input] = {}
    for face in faces:
        if face.id in by_id:
            raise _twice(face, by_id[face.id])
        by_id[face.id] = face
    versions: dict[str, list[PairVersion]] = {}
    samples: list[Sample] = []
    seen: dict[str, Input] = {}
    for entry in scenes:
        if entry.id in seen:
            raise _twice(entry, seen[entry.id])
        seen[entry.id] = entry
        if entry.has("lq"):
            name, version = _named(entry)
            versions.setdefault(name, []).append(PairVersion(version, entry, by_id.get(entry.id)))
        else:
            samples.append(PhotoSample(entry.id, entry.split, entry))
    for name, found in versions.items():
        found.sort(key=lambda one: one.version)
        samples.append(PairSample(name, found[0].pair.split, tuple(found)))
    matched = sum(one.face is not None for found in versions.values() for one in found)
    return sorted(samples, key=lambda one: one.id), matched


def _named(entry: Input) -> tuple[str, int]:
    """``photo.png@3`` is version 3 of ``photo.png``; a folder's pairs have one version."""
    name, at, version = entry.id.rpartition("@")
    if at and version.isdecimal() and entry.row_group >= 0:
        return name, int(version)
    return entry.id, 0


def _twice(one: Input, other: Input) -> UsageError:
    return UsageError(
        f"the sample {one.id!r} occurs twice",
        where=f"{one.file}, {other.file}",
        why="Face pairs are found by the name of their sample.",
        next_step="Train on one of the two datasets, or make one dataset of both sources.",
    )


def _divided(
    samples: Sequence[Sample], seed: int, hold_back: int
) -> tuple[list[Sample], list[Sample]]:
    """Rows of ``val`` are never trained on, those of ``test`` are in neither."""
    train = [one for one in samples if one.split not in ("val", "test")]
    held = [one for one in samples if one.split == "val"]
    if held or not hold_back:
        return train, held
    if len(train) < 2:
        raise UsageError(
            f"{len(train)} image is too few: one of them is held back for validation",
            next_step="Give more images, or a validation.source, or validation.images: 0.",
        )
    count = min(hold_back, max(1, len(train) // 10))
    order = sorted(train, key=lambda one: derive_key(seed, "hold back", one.id))
    chosen = {one.id for one in order[:count]}
    return [one for one in train if one.id not in chosen], order[:count]


def _state(sample: Sample) -> str:
    if isinstance(sample, PhotoSample):
        return f"{sample.id} {sample.split} {sample.photo.state}"
    versions = " ".join(
        f"{one.version}:{one.pair.state}:{'' if one.face is None else one.face.state}"
        for one in sample.versions
    )
    return f"{sample.id} {sample.split} {versions}"
