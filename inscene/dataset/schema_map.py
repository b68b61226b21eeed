"""``schema_map.yaml``: what a person says of the columns of a dataset that is not ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from inscene.dataset.store import Store
from inscene.errors import RecipeError, UsageError

MAP_FILE = "schema_map.yaml"
MAP_VARIABLE = "INSCENE_SCHEMA_MAP"

CLEAN = ("image", "gt", "hq", "file_name")
LQ = ("lq", "lq_image", "degraded")
ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "caption", "text"),
    "identity": ("identity", "identity_id", "id"),
    "face_bbox": ("face_bbox", "bbox", "face_box"),
    "landmarks": ("landmarks", "kps"),
    "landmarks5": ("landmarks5", "landmarks_5", "lmk5"),
    "landmarks68": ("landmarks68", "landmarks_68", "lmk68"),
}
"""What we call it -> what it is commonly called; our own name first. ``landmarks``
go into the column of their count."""


class SchemaMap(BaseModel):
    """``schema_map.yaml``: what a dataset means by its columns, said by a person.

    It lies in the dataset's folder, or the environment variable ``INSCENE_SCHEMA_MAP`` names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, str] = {}
    """Our name -> theirs; ``a.b`` for a field of a structure. Ours are those of :data:`ALIASES`,
    and ``image`` and ``lq``."""
    box: Literal["xyxy", "xywh"] | None = None
    """Whether a face box is two corners, or a corner and a size."""
    ignore: tuple[str, ...] = ()
    """Columns that are not read at all."""

    @classmethod
    def of(cls, store: Store) -> SchemaMap:
        """Of a dataset; an empty one where nobody has said anything."""
        if named := os.environ.get(MAP_VARIABLE):
            try:
                return cls.parse(Path(named).read_bytes(), named)
            except OSError as error:
                raise UsageError(
                    "cannot be read", where=named, why=f"{MAP_VARIABLE} names it: {error.strerror}."
                ) from error
        if store.size(MAP_FILE) is None:
            return cls()
        return cls.parse(store.read(MAP_FILE), store.describe(MAP_FILE))

    @classmethod
    def parse(cls, content: bytes, where: str) -> SchemaMap:
        try:
            found = cls.model_validate(yaml.safe_load(content) or {})
        except yaml.YAMLError as error:
            raise RecipeError("is no YAML", where=where, why=f"{error}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise RecipeError(
                f"{key}: {first['msg']}", where=where, next_step="It has columns, box and ignore."
            ) from error
        known = {*ALIASES, "image", "lq"}
        if unknown := sorted(found.columns.keys() - known):
            raise RecipeError(
                f"columns: {unknown[0]!r} is none of ours",
                where=where,
                next_step=f"Ours: {', '.join(sorted(known))}; on the right are the dataset's own.",
            )
        return found


def how_to_say(line: str) -> str:
    """The next step of an error that a line in the file settles."""
    return f"Say which in {MAP_FILE}, in the dataset's folder or named by {MAP_VARIABLE}: {line}"
