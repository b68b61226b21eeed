"""``degrade``: from one clean image to its LQ versions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from inscene import images
from inscene.degrade.profile import load_profile
from inscene.degrade.versions import degrade_version
from inscene.engine.rows import Call, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.recipe import canonical_json


def _absolute(profile: str) -> str:
    """A file by its whole path: workers may run in another folder."""
    return os.path.abspath(profile) if os.path.isfile(profile) else profile


@dataclass(frozen=True)
class Degrade(Step):
    """One row for each version. The draws depend on the seed, the content of the clean image's
    source file and the version; not on its name or place."""

    profile: Annotated[str, AfterValidator(_absolute)] = "s3diff"
    """Name of a shipped profile, or a file."""
    versions: Annotated[int, Field(ge=1)] = 5

    def setup(self, context: StepContext) -> Call:
        profile = load_profile(self.profile)

        def degrade(row: Row) -> Outcome:
            assert row.pixels is not None
            stem = row.columns["image"]["path"].rpartition(".")[0] or row.columns["image"]["path"]
            clean = {"bytes": images.encode_png(row.pixels), "path": f"{stem}.png"}
            rows = []
            for version in range(self.versions):
                lq, record = degrade_version(
                    row.pixels,
                    profile,
                    image_key=row.columns["sha256"],
                    version=version,
                    seed=context.seed,
                )
                made = {
                    "version": version,
                    "operator_id": record["operator_id"],
                    "lq": {"bytes": images.encode_png(lq), "path": f"{stem}@{version}.png"},
                    "hq": clean,
                    "operator": canonical_json(record),
                    "seed": record["noise_seed"],
                }
                rows.append(Row(row.input_id, {**row.columns, **made}))
            return Keep(tuple(rows))

        return row_by_row(degrade)

    def fingerprint(self) -> dict[str, Any]:
        """The profile's content, not its name: an edited file is another recipe."""
        profile = load_profile(self.profile).model_dump(mode="json")
        return {"profile": profile, "versions": self.versions}
