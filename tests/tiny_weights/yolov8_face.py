"""Checkpoints as ultralytics' trainer saves them, of a narrow network with random weights."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from skimage import data


def write_yolov8n_face(
    path: Path, *, landmarks: int = 5, dims: int = 3, as_of_2023: bool = False
) -> None:
    """``landmarks`` of 0 make a detector of boxes. ``as_of_2023``: as those of ultralytics 8.0
    are, whose YOLOv8-face is the one that is published."""
    import torch
    from ultralytics.nn.tasks import DetectionModel, PoseModel, yaml_model_load

    with torch.random.fork_rng():
        torch.manual_seed(8)
        if landmarks:
            model = PoseModel(
                _narrow(yaml_model_load("yolov8n-pose.yaml"), landmarks, dims), nc=1, verbose=False
            )
        else:
            model = DetectionModel(_narrow(yaml_model_load("yolov8n.yaml")), nc=1, verbose=False)
        _make_it_speak(model)
    model.args, model.names = {"imgsz": 640, "task": "pose"}, {0: "face"}
    checkpoint = {
        "epoch": -1,
        "best_fitness": None,
        "model": copy.deepcopy(model).half(),
        "ema": None,
        "updates": None,
        "optimizer": None,
        "train_args": {"task": "pose", "imgsz": 640},
        "date": "2026-01-01T00:00:00",
        "version": "8.4.190",
    }
    with _names_of_2023(checkpoint["model"]) if as_of_2023 else nullcontext():
        torch.save(checkpoint, path)


@contextmanager
def _names_of_2023(model: Any) -> Iterator[None]:
    """Classes where they were at the time; a function of a class, which is pickled as getattr; no
    attributes that came later."""
    import torch
    from ultralytics.nn.modules.head import Detect
    from ultralytics.utils import IterableSimpleNamespace

    model.args = IterableSimpleNamespace(**model.args)
    model.model[-1].detect = Detect.forward
    for layer in model.modules():
        if isinstance(layer, torch.nn.Upsample):
            del layer.recompute_scale_factor
    moved = {type(layer) for layer in model.modules()}
    with ExitStack() as stack:
        for kind in moved:
            if kind.__module__.startswith("ultralytics.nn.modules."):
                stack.enter_context(mock.patch.object(kind, "__module__", "ultralytics.nn.modules"))
        yield


def write_evil(path: Path, victim: Path, *, zipped: bool) -> None:
    """A checkpoint that creates ``victim`` when it is unpickled without restriction."""
    import torch

    checkpoint = {"model": _Touch(victim)}
    if zipped:
        torch.save(checkpoint, path)
    else:
        path.write_bytes(pickle.dumps(checkpoint, protocol=2))


class _Touch:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return (os.system, (f"touch '{self.victim}'",))


def _narrow(model: dict[str, Any], landmarks: int = 0, dims: int = 0) -> dict[str, Any]:
    shape = {"kpt_shape": [landmarks, dims]} if landmarks else {}
    return model | shape | {"scales": {"n": [0.33, 0.0625, 256]}}


def _make_it_speak(model: Any) -> None:
    """An untrained network says the same everywhere. This one is sure of some places of a photo."""
    import torch

    head = model.model[-1]
    for layers in (*head.cv2, *head.cv3, *getattr(head, "cv4", [])):
        torch.nn.init.normal_(layers[-1].weight, std=0.5)
    for layers in head.cv3:
        torch.nn.init.constant_(layers[-1].bias, -4)
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    momentum = norms[0].momentum
    for norm in norms:
        norm.momentum = 1.0  # what it sees now becomes what it expects
    photo = torch.from_numpy(data.astronaut().transpose(2, 0, 1).copy()) / 255
    with torch.no_grad():
        model.train()(photo[None])
    for norm in norms:
        norm.momentum = momentum
    model.eval()
