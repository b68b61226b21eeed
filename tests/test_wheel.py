"""An installed wheel carries recipes, suites, manifests and the small checkpoint."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_is_whole(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        "import inscene, inscene.recipe, inscene.shipped as s; print(inscene.__file__);"
        "print(s.shipped_names('pipelines')); inscene.recipe.load_recipe('degrade');"
        "print(s.shipped_names('manifests', 'methods'));"
        "from inscene.face2scene import document, hub_repo as h;"
        "folder = h.local_folder('face2scene-small');"
        "document.verify(folder, *document.read(folder));"
        "print(folder)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    place, pipelines, methods, checkpoint = done.stdout.splitlines()
    assert place.startswith(str(site))
    assert "degrade" in pipelines
    assert "bicubic" in methods
    source = ROOT / "inscene" / "checkpoints"
    assert Path(checkpoint) == site / "inscene" / "checkpoints" / "face2scene-small"
    assert _contents(site / "inscene" / "checkpoints") == _contents(source)


def test_the_source_distribution_has_the_checkpoint(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    source = ROOT / "inscene" / "checkpoints"
    wanted = {f"inscene/checkpoints/{name}" for name in _contents(source)}
    assert wanted
    assert wanted <= names


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
