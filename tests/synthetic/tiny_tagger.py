"""The step ``tag`` with a RAM++ of a few kilobytes, and its weights as a user has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tiny_weights.clip_b32 import write_clip
from tiny_weights.ram_plus import TINY, write_lists, write_ram_plus

from inscene.shipped import shipped_folder
from inscene.synthetic.steps.tag import TagScenes
from inscene.synthetic.tags.settings import CLIP, RAM_PLUS, RAM_PLUS_TAGS, RamPlusConfig


@dataclass(frozen=True)
class TinyTag(TagScenes):
    @property
    def sizes(self) -> RamPlusConfig:
        return TINY


def place_weights(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Put by hand where ``inscene weights where`` says; the manifest is the shipped one, without
    the sizes and hashes of the real files."""
    weights = folder / "weights"
    write_ram_plus(weights / RAM_PLUS[0] / RAM_PLUS[1])
    write_lists(weights / RAM_PLUS_TAGS, dict.fromkeys(("bench", "fog"), 0.0))
    write_clip(weights / CLIP)
    shipped = yaml.safe_load((shipped_folder("manifests") / "weights.yaml").read_text())
    mine = {name: shipped[name] for name in (RAM_PLUS[0], RAM_PLUS_TAGS, CLIP)}
    for weight in mine.values():
        for file in weight["files"]:
            for unknown in ("bytes", "about_mb", "sha256"):
                file.pop(unknown, None)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(mine))
    patch.setenv("INSCENE_WEIGHTS", str(weights))
    patch.setenv("INSCENE_WEIGHTS_MANIFEST", str(folder / "manifest.yaml"))
    return weights
