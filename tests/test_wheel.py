"""An installed wheel carries recipes, suites and manifests, and finds them."""

from __future__ import annotations

import subprocess
import sys
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
        "print(s.shipped_names('manifests', 'methods'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    place, pipelines, methods = done.stdout.splitlines()
    assert place.startswith(str(site))
    assert "degrade" in pipelines
    assert "bicubic" in methods
