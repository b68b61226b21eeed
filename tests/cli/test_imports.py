"""The command line starts fast because it imports little: tested by imports, not by time."""

import sys

import pytest
from cli_imports import imported_by, running

HEAVY = {
    "torch", "ray", "diffusers", "pandas", "numpy", "pyarrow", "cv2", "datasets", "scipy",
    "skimage",    "PIL", "yaml", "fsspec", "huggingface_hub", "ultralytics", "insightface", "pyiqa",
}  # fmt: skip


def test_the_package_imports_nothing_of_others() -> None:
    added = imported_by("import inscene") - imported_by("pass")
    assert {name for name in added if name not in sys.stdlib_module_names} == {"inscene"}


@pytest.mark.parametrize("arguments", [["--help"], ["degrade", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert not imported_by(running(arguments)) & HEAVY
