"""Whether a metric can be computed here, without loading it."""

from __future__ import annotations

from inscene.doctor.machine import version_of
from inscene.errors import InsceneError, MachineError
from inscene.quality.registry import Metric
from inscene.weights.locate import find_folder
from inscene.weights.manifest import load_manifest


def why_unavailable(metric: Metric) -> InsceneError | None:
    """The error that loading it would end with: a package or weights that are missing or are not
    what they should be; None where there is none."""
    missing = [package for package in metric.packages if version_of(package) is None]
    if missing:
        return MachineError(
            f"the metric {metric.key!r} needs {', '.join(missing)}",
            next_step="Run: pip install 'inscene[bench]'",
        )
    try:
        # Its own first: pulling that one brings what it needs.
        needed = load_manifest().with_needs(metric.weights)
        for name in dict.fromkeys([*metric.weights, *(weight.name for weight in needed)]):
            find_folder(name)
    except InsceneError as error:
        return error
    return None
