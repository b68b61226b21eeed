"""What a card says of a dataset, read from the dataset: nothing of it is typed by hand."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from inscene.dataset.distribution import Distribution, by_count
from inscene.dataset.funnel import Funnel, funnel
from inscene.dataset.inspect import Table, open_table, survey
from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import open_parquet
from inscene.dataset.store import Store
from inscene.engine.registry import closing_step_class, step_class
from inscene.errors import InsceneError
from inscene.hub import patterns
from inscene.weights.manifest import Manifest, load_manifest

Content = Literal["synthetic", "real", "mixed"]
_THRESHOLDS = ("min", "max", "tries", "max_megapixels")
_THRESHOLD_GROUPS = ("gates", "identity")


@dataclass(frozen=True)
class Split:
    rows: int = 0
    bytes: int = 0
    """Of values in memory, as ``datasets`` counts them; the files are smaller."""
    file_bytes: int = 0


@dataclass(frozen=True)
class Model:
    """Weights that took part."""

    name: str
    about: str
    licence: str
    commercial: str
    """yes, no or unclear."""
    files: dict[str, str]
    """File -> SHA-256."""


@dataclass(frozen=True)
class DatasetFacts:
    kind: str
    recipe: dict[str, Any]
    """The run's fingerprint, without absolute paths."""
    recipe_hash: str
    splits: dict[str, Split]
    samples: int
    generated_rows: int | None
    """None where the table does not say which rows are: pairs and restored images."""
    sizes: dict[str, int]
    """``width×height`` -> samples."""
    counts: dict[str, dict[str, int]]
    numbers: dict[str, Distribution]
    licences: dict[str, int]
    consents: dict[str, int]
    funnel: Funnel
    thresholds: dict[str, Any]
    models: tuple[Model, ...]
    versions: dict[str, str]
    forgotten: int = 0
    """Samples that were taken back."""
    stated: Content | None = field(default=None)
    """What the publisher says that it shows, where the table does not."""

    @property
    def rows(self) -> int:
        return sum(split.rows for split in self.splits.values())

    def of_rows(self, rows: Mapping[str, int]) -> DatasetFacts:
        """With the rows by split that are really sent: ``datasets`` compares them."""
        splits = {name: replace(self.splits.get(name, Split()), rows=count)
                  for name, count in rows.items()}  # fmt: skip
        return replace(self, splits=splits)

    @property
    def content(self) -> Content:
        """Whom it shows: ``synthetic`` only where every row is known to be generated. Where nothing
        is known, it is taken for photographs of people, which have the stricter defaults."""
        if self.generated_rows is None:
            return self.stated or "real"
        if self.generated_rows == self.rows:
            return "synthetic"
        return "mixed" if self.generated_rows else "real"


def gather(store: Store, *, stated: Content | None = None, forgotten: int = 0) -> DatasetFacts:
    """Reads the small columns of every row, and no image. Raises ``UsageError`` for no dataset."""
    table = open_table(store.root)
    ledger = Ledger(store)
    fingerprint = ledger.fingerprint()
    seen = survey(table)
    licences, consents, generated, made_by = _by_row(table)
    versions: dict[str, str] = {}
    for _, record in ledger.records():
        versions |= record.versions if record else {}
    return DatasetFacts(
        kind=table.kind,
        recipe=_plain(patterns.redacted(fingerprint)),
        recipe_hash=ledger.recipe_hash(),
        splits=_splits(store, ledger),
        samples=seen.samples,
        generated_rows=generated,
        sizes=seen.sizes,
        counts={name: _masked(counts) for name, counts in seen.counts.items()},
        numbers=seen.numbers,
        licences=_masked(licences),
        consents=_masked(consents),
        funnel=funnel(store.root),
        thresholds=thresholds(fingerprint),
        models=models_in([fingerprint, made_by]),
        versions=dict(sorted(versions.items())),
        forgotten=forgotten,
        stated=stated,
    )


def _plain(value: object) -> dict[str, Any]:
    assert isinstance(value, dict)
    return value


def _masked(counts: Mapping[str, int]) -> dict[str, int]:
    """Values are free text: a card repeats no token and no path of theirs."""
    masked: Counter[str] = Counter()
    for value, count in counts.items():
        masked[patterns.masked(str(patterns.redacted(value)))] += count
    return by_count(masked)


def _splits(store: Store, ledger: Ledger) -> dict[str, Split]:
    found: dict[str, Split] = {}
    for shard in ledger.shards():
        with store.open(shard.data_file) as file, open_parquet(file) as parquet:
            meta = parquet.metadata
            groups = [meta.row_group(group) for group in range(meta.num_row_groups)]
            size = sum(group.total_byte_size for group in groups)
            old = found.get(shard.split, Split())
            found[shard.split] = Split(
                old.rows + meta.num_rows,
                old.bytes + size,
                old.file_bytes + (store.size(shard.data_file) or 0),
            )
    return {name: split for name, split in found.items() if split.rows}


def _by_row(
    table: Table,
) -> tuple[Counter[str], Counter[str], int | None, list[object]]:
    licences, consents, makers = Counter[str](), Counter[str](), Counter[str]()
    generated = 0
    for row in table.rows(("licence", "consent", "generator")):
        if "licence" in row:
            licences[row["licence"] or "unknown"] += 1
            consents[row["consent"] or "unknown"] += 1
        if row.get("generator"):
            generated += 1
            makers[row["generator"]] += 1
    made_by: list[object] = []
    for text in makers:
        try:
            made_by.append(json.loads(text))
        except ValueError:
            continue  # somebody else's words: no weights are named there
    return licences, consents, generated if table.kind == "scenes" else None, made_by


# -- what the recipe says ----------------------------------------------------------------------


def thresholds(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """What decided about images, as dotted keys of the recipe -> value: what the steps themselves
    call thresholds, and what is named like one."""
    found: dict[str, Any] = {}
    for section, class_of in (("steps", step_class), ("closing", closing_step_class)):
        for step in fingerprint.get(section, []):
            name = step.get("step", "")
            found |= {key: value for key, value in _leaves(name, step) if _is_threshold(key)}
            try:
                own = class_of(name).thresholds(step)
            except (InsceneError, LookupError):  # of another version, or somebody else's
                continue
            found |= {f"{name}.{key}": one.value for key, one in own.items()}
    return {key: value for key, value in found.items() if _is_number(value)}


def _is_number(value: object) -> bool:
    """Off is no threshold."""
    return isinstance(value, int | float) and value is not False


def _is_threshold(key: str) -> bool:
    parts = key.split(".")
    grouped = len(parts) == 3 and parts[1] in _THRESHOLD_GROUPS
    plain = len(parts) == 2 and (parts[-1] in _THRESHOLDS or parts[-1].endswith(("_min", "_max")))
    return plain or grouped


def _leaves(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in ("step", "version"):
                yield from _leaves(f"{prefix}.{key}", inner)
    else:
        yield prefix, value


def models_in(values: Sequence[object]) -> tuple[Model, ...]:
    """The weights whose hashes a recipe has. A hash tells whose it is; where the manifest has none
    to compare with, the names beside it do."""
    manifest = load_manifest()
    by_hash = {file.sha256: name for name in manifest for file in manifest[name].files}
    found: dict[str, dict[str, str]] = {}
    for name, file, digest in _hashes(values, ""):
        known = by_hash.get(digest, name)
        found.setdefault(known, {})[file] = digest
    return tuple(_model(manifest, name, found[name]) for name in sorted(found))


def _hashes(value: object, name: str) -> Iterator[tuple[str, str, str]]:
    """Name, file and hash of what stands below the keys ``weights``."""
    if isinstance(value, Mapping):
        near = [value.get(key) for key in ("embedder", "tagger", "name", "step")]
        name = next((str(one) for one in near if one), name)
        for key, inner in value.items():
            if key == "weights":
                yield from _below_weights(inner, name)
            else:
                yield from _hashes(inner, name)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _hashes(inner, name)


def _below_weights(value: object, name: str) -> Iterator[tuple[str, str, str]]:
    """``HASH``, ``{FILE: HASH}`` or ``{NAME: {FILE: HASH}}``."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        yield name, "", value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, str):
                yield name, str(key), inner
            elif isinstance(inner, Mapping):
                yield from ((str(key), str(file), str(digest)) for file, digest in inner.items())


def _model(manifest: Manifest, name: str, files: dict[str, str]) -> Model:
    files = _plain(patterns.redacted(files))
    if name not in manifest:
        shown = patterns.masked(str(patterns.redacted(name)))
        return Model(shown, "none that inscene fetches", "unknown", "unclear", files)
    weight = manifest[name]
    return Model(name, weight.about, weight.licence.name, weight.licence.commercial, files)
