"""Model weights: what there is (``manifests/weights.yaml``), fetched, verified, found."""

from inscene.weights.locate import MissingWeightError, find_file, find_folder

__all__ = ["MissingWeightError", "find_file", "find_folder"]
