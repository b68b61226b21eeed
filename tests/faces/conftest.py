from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent
# The step of the tests is imported by name in workers too.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
)
