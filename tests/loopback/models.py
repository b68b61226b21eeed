"""Models of the shipped manifest, small, published on a loopback hub in their official layout."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from tiny_weights.metrics import METRIC_FILES

from inscene.shipped import shipped_folder
from loopback.hub import LoopbackHub
from loopback.published import known


def publish_models(hub: LoopbackHub, names: Sequence[str], manifest: Path) -> None:
    """Publish small models where the shipped manifest says that the real ones are, and write a
    manifest with their sizes and hashes, in which releases are this hub's."""
    shipped = yaml.safe_load((shipped_folder("manifests") / "weights.yaml").read_text())
    mine = {}
    for name in names:
        weight: dict[str, Any] = shipped[name] | {"needs": []}
        weight.pop("revision", None)
        with tempfile.TemporaryDirectory() as folder:
            BUILDERS[name](Path(folder))
            published = {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in Path(folder).rglob("*")
                if path.is_file()
            }
        unpacked = _members(published[weight["archive"]["path"]]) if "archive" in weight else {}
        if "repo" in weight:
            below = weight.get("subfolder", "")
            here = hub.repos.get(weight["repo"])  # one may have several weights
            hub.add_repo(
                weight["repo"],
                {**(here.files if here else {}),
                 **{f"{below}/{path}".lstrip("/"): content for path, content in published.items()}},
                gated=weight.get("gated", False),
            )  # fmt: skip
        for file in [*weight["files"], *([weight["archive"]] if "archive" in weight else [])]:
            for unknown in ("bytes", "about_mb", "sha256", "sha256_prefix"):
                file.pop(unknown, None)
            if "url" in file:
                hub.releases[f"{name}/{file['path']}"] = published[file["path"]]
                file["url"] = f"{hub.url}/releases/{name}/{file['path']}"
            if file["path"] in published | unpacked:
                file |= known(file["path"], (published | unpacked)[file["path"]])
        mine[name] = weight
    manifest.write_text(yaml.safe_dump(mine, sort_keys=False))


def _members(archive: bytes) -> dict[str, bytes]:
    """By base name."""
    with zipfile.ZipFile(io.BytesIO(archive)) as pack:
        return {Path(name).name: pack.read(name) for name in pack.namelist()}


def _insightface(name: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        from tiny_weights.insightface_packs import write_pack_zip

        write_pack_zip(folder / f"{name}.zip", name)

    return build


def _yolov8n_face(folder: Path) -> None:
    from tiny_weights.yolov8_face import write_yolov8n_face

    write_yolov8n_face(folder / "yolov8n-face.pt")


def _ir_se50(folder: Path) -> None:
    from tiny_weights.ir_se50 import write_ir_se50

    write_ir_se50(folder / "recognition_arcface_ir_se50.pth")


def _sd_turbo(folder: Path) -> None:
    from tiny_weights.sd_turbo import build

    build(folder)


def _dino(folder: Path) -> None:
    from tiny_weights.dino import FILE, write_dino

    write_dino(folder / FILE)


def _metric(name: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        file, write = METRIC_FILES[name]
        write(folder / file)

    return build


def _flux(folder: Path) -> None:
    from tiny_weights.flux import write_flux

    write_flux(folder)


def _antiblur(folder: Path) -> None:
    from tiny_weights.flux import LORA_FILE, write_antiblur

    write_antiblur(folder / LORA_FILE)


def _infiniteyou(folder: Path) -> None:
    from tiny_weights.infusenet import write_infiniteyou

    write_infiniteyou(folder)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "buffalo_l": _insightface("buffalo_l"),
    "antelopev2": _insightface("antelopev2"),
    "yolov8n-face": _yolov8n_face,
    "ir-se-50": _ir_se50,
    "flux.1-dev": _flux,
    "infiniteyou-sim": _infiniteyou,
    "antiblur-lora": _antiblur,
    "sd-turbo": _sd_turbo,
    "dino-vitb16": _dino,
    **{name: _metric(name) for name in METRIC_FILES},
}
