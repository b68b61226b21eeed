from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback.pulled import pulled

HERE = Path(__file__).parent

# The painted scenes are imported by name in this process and, through the environment, in workers.
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)


@pytest.fixture(scope="module")
def judging_weights(tmp_path_factory: pytest.TempPathFactory, inscene) -> Iterator[None]:
    """The judge's tiny models, pulled from a hub on this machine."""
    for package in ("insightface", "onnxruntime", "onnx"):
        pytest.importorskip(package, reason="extra: generate")
    folder = tmp_path_factory.mktemp("weights")
    with pulled(["buffalo_l"], folder, inscene):
        yield
