"""The command line starts fast because it imports little: tested by imports, not by time."""

import subprocess
import sys

import pytest

HEAVY = {
    "torch", "ray", "diffusers", "pandas", "numpy", "pyarrow", "cv2", "datasets", "scipy",
    "skimage",    "PIL", "yaml", "fsspec", "huggingface_hub", "ultralytics", "insightface", "pyiqa",
}  # fmt: skip

HELP = """
import sys
sys.argv = ["inscene", *{arguments}]
from inscene.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def imported_by(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint('MODULES', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    line = done.stdout.rpartition("MODULES ")[2]
    return {name.partition(".")[0] for name in line.split()}


def test_the_package_imports_nothing_of_others() -> None:
    added = imported_by("import inscene") - imported_by("pass")
    assert {name for name in added if name not in sys.stdlib_module_names} == {"inscene"}


@pytest.mark.parametrize("arguments", [["--help"], ["degrade", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert not imported_by(HELP.format(arguments=arguments)) & HEAVY
