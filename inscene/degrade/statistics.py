"""What is in a dataset of pairs: the distributions of its drawn operators, and how near its LQ
images are to the clean ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inscene.dataset.distribution import Distribution, Gathering, Scalar, by_count, spread
from inscene.dataset.inspect import Table
from inscene.degrade.fidelity import psnr_at_lq_size
from inscene.degrade.pair_images import PairImages
from inscene.errors import SampleError


@dataclass(frozen=True)
class OperatorStatistics:
    """What the records of the rows say."""

    clean_images: int
    versions: tuple[int, int]
    """Rows of a clean image: the fewest and the most."""
    operators: int
    """Distinct operator ids."""
    shared_operators: int
    """Those that at least two clean images have: contrastive training needs them."""
    profiles: dict[str, int]
    """Profile or preset -> rows."""
    without_record: int
    unreadable_records: int
    parameters: dict[str, Distribution]
    """By their names in the record, ``first.blur.sigma_x``, in the order of the chain."""

    def to_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["versions"] = {"min": self.versions[0], "max": self.versions[1]}
        plain["parameters"] = {name: values.to_json() for name, values in self.parameters.items()}
        return plain


def operator_statistics(table: Table) -> OperatorStatistics:
    """Read the records of every row; no image is touched."""
    versions, profiles, lacking = Counter[object](), Counter[str](), Counter[str]()
    first_image: dict[str, object] = {}
    shared: set[str] = set()
    parameters: dict[str, Gathering] = {}
    records = 0
    for position, row in enumerate(table.rows(("sample_id", "operator_id", "operator"))):
        image = row.get("sample_id", position)
        versions[image] += 1
        operator_id = row.get("operator_id")
        if operator_id is not None and first_image.setdefault(operator_id, image) != image:
            shared.add(operator_id)
        if row.get("operator") is None:
            lacking["record"] += 1
            continue
        record = _read_record(row["operator"])
        if record is None:
            lacking["readable"] += 1
            continue
        records += 1
        profiles[str(record.get("profile"))] += 1
        for name, value in drawn_parameters(record):
            parameters.setdefault(name, Gathering()).add(value)
    _count_given(parameters, records)
    return OperatorStatistics(
        clean_images=len(versions),
        versions=(min(versions.values(), default=0), max(versions.values(), default=0)),
        operators=len(first_image),
        shared_operators=len(shared),
        profiles=by_count(profiles),
        without_record=lacking["record"],
        unreadable_records=lacking["readable"],
        parameters={
            name: parameters[name].distribution() for name in sorted(parameters, key=_place)
        },
    )


def _read_record(text: str) -> dict[str, Any] | None:
    try:
        record = json.loads(text)
    except ValueError:
        return None
    usable = isinstance(record, dict) and isinstance(record.get("operator"), dict)
    return record if usable else None


def drawn_parameters(record: Mapping[str, Any]) -> Iterator[tuple[str, Scalar]]:
    """Every scalar of a record's operator and of ``effective``, with its dotted name.

    Nothing is known here of particular parameters. The entries of a list of objects share a name,
    ``first.noise[*].kind``, and their number is ``len(first.noise)``; those of a short list of
    scalars have one each, ``effective.first.size[0]``.
    """
    yield from _walk("", record["operator"])
    yield from _walk("effective", record.get("effective", {}))


_FEW = 4
"""Scalars in a list that are told apart by their places: sizes, points, boxes."""


def _walk(name: str, value: Any) -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list):
        scalars = bool(value) and not any(isinstance(inner, (dict, list)) for inner in value)
        if not scalars:
            yield f"len({name})", len(value)
        for place, inner in enumerate(value):
            told_apart = scalars and len(value) <= _FEW
            yield from _walk(f"{name}[{place if told_apart else '*'}]", inner)
    else:
        yield name, value


def _count_given(parameters: Mapping[str, Gathering], records: int) -> None:
    """An object that may be null: how often it is there is as telling as how often it is not."""
    for name, gathering in parameters.items():
        nulls = gathering.words["null"]
        if nulls and any(other.startswith(f"{name}.") for other in parameters):
            gathering.words["given"] += records - nulls


_CHAIN = ("first", "second", "final", "effective", "blur", "resize", "noise", "jpeg")


def _place(name: str) -> list[tuple[int, str]]:
    """What belongs to no stage first, then the stages and their steps as they are applied."""
    parts = name.removeprefix("len(").removesuffix(")").split(".")
    stems = [part.partition("[")[0] for part in parts]
    return [
        (_CHAIN.index(stem) if stem in _CHAIN else -1, part)
        for stem, part in zip(stems, parts, strict=True)
    ]


@dataclass(frozen=True)
class PsnrStatistics:
    """PSNR of some rows' LQ to the clean image at LQ size, dB over R, G and B."""

    looked_at: int
    """Rows."""
    psnr_db: Distribution
    lq_sizes: dict[str, int]
    """``width×height`` in px -> rows."""
    without: dict[str, int]
    """Why a row has no PSNR -> rows."""

    def to_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**plain, "psnr_db": self.psnr_db.to_json()}


def psnr_statistics(
    table: Table, rows: int, sample: int, on_row: Callable[[], None] = lambda: None
) -> PsnrStatistics:
    """Decode the images of up to ``sample`` of the table's ``rows`` rows, the same each time.

    ``on_row`` is called after each. A row whose images cannot be used is counted under its reason.
    """
    values, sizes, without = Gathering(), Counter[str](), Counter[str]()
    positions = spread(rows, sample)
    decoded = PairImages()
    for row in table.rows_at(positions, ("lq", "hq")):
        try:
            lq = decoded.lq(row)
            values.add(psnr_at_lq_size(lq, decoded.hq(row)))
            sizes[f"{lq.shape[1]}×{lq.shape[0]}"] += 1
        except SampleError as error:
            without[error.reason] += 1
        on_row()
    return PsnrStatistics(len(positions), values.distribution(), by_count(sizes), by_count(without))
