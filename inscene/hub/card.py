"""The card of a dataset, ``README.md`` of its repository: YAML that the Hub reads, and the text.

The same data and the same statement always give the same bytes: a second publish sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import yaml

from inscene.hub.card_body import body
from inscene.hub.facts import DatasetFacts
from inscene.hub.statement import Statement, licence_of
from inscene.schema import KINDS

_TASKS = {
    "scenes": ["image-to-image", "text-to-image"],
    "pairs": ["image-to-image"],
    "face-pairs": ["image-to-image"],
    "restored": ["image-to-image"],
    "results": [],
}
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
          (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip


def card_text(facts: DatasetFacts, statement: Statement) -> str:
    """The whole ``README.md``."""
    head = yaml.safe_dump(
        metadata(facts, statement), sort_keys=False, allow_unicode=True, width=10_000
    )
    return f"---\n{head}---\n\n{body(facts, statement)}"


def metadata(facts: DatasetFacts, statement: Statement) -> dict[str, Any]:
    """The YAML at its head."""
    kind = KINDS[facts.kind]
    images = bool(kind.image_columns)
    head: dict[str, Any] = {**licence_of(facts, statement), "pretty_name": statement.name}
    if facts.kind == "scenes" and facts.content != "real":
        head["language"] = ["en"]
    if _TASKS[facts.kind]:
        tasks = _TASKS[facts.kind]
        head["task_categories"] = tasks if facts.content != "real" else tasks[:1]
    head |= {
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["original"],
        "size_categories": [size_category(facts.rows)],
        "tags": _tags(facts),
        "configs": [_config("default", "data", facts.splits)],
        "dataset_info": [_info("default", kind.schema, facts, with_bytes=True)],
    }
    if images:
        small = pa.schema([field for field in kind.schema if field.name not in kind.image_columns])
        head["configs"].append(_config("metadata", "metadata", facts.splits))
        head["dataset_info"].append(_info("metadata", small, facts, with_bytes=False))
    if statement.is_gated(facts):
        head |= _gate(statement)
    return head


def size_category(rows: int) -> str:
    """As the Hub writes it."""
    return next(
        (name for most, name in _SIZES if rows < most), "n>1T" if rows > 10**12 else "1B<n<10B"
    )


def _tags(facts: DatasetFacts) -> list[str]:
    tags = ["inscene", "image-restoration", "face-restoration"]
    if facts.content != "real":
        tags += ["synthetic", "ai-generated"]
    if facts.kind in ("pairs", "face-pairs"):
        tags.append("super-resolution")
    return [*tags, "croissant"]


def _config(name: str, folder: str, splits: Mapping[str, object]) -> dict[str, Any]:
    files = [
        {"split": split or "train", "path": f"{folder}/{split or 'train'}-*.parquet"}
        for split in splits
    ]
    config: dict[str, Any] = {"config_name": name, "data_files": files}
    return config | {"default": True} if name == "default" else config


def _info(name: str, schema: pa.Schema, facts: DatasetFacts, *, with_bytes: bool) -> dict[str, Any]:
    """What ``datasets`` would write of it: types of the columns, and how many rows there are."""
    from datasets import Features

    splits = [
        {
            "name": split or "train",
            "num_bytes": size.bytes if with_bytes else 0,
            "num_examples": size.rows,
        }
        for split, size in facts.splits.items()
    ]
    return {
        "config_name": name,
        "features": Features.from_arrow_schema(schema)._to_yaml_list(),
        "splits": splits,
    }


def _gate(statement: Statement) -> dict[str, Any]:
    return {
        "extra_gated_prompt": (
            "These are photographs of people. By asking for access you agree to use them for "
            "research on image restoration only, not to identify anybody in them, not to pass "
            "them on, and to delete what is withdrawn: new versions list it in tombstones.json. "
            f"Questions and withdrawals: {statement.contact}"
        ),
        "extra_gated_fields": {
            "Affiliation": "text",
            "Purpose": "text",
            "I agree not to identify anybody": "checkbox",
            "I agree to delete what is withdrawn": "checkbox",
        },
    }
