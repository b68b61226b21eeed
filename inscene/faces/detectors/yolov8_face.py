"""YOLOv8-face by ultralytics: a pose model whose five key points are the landmarks.

ultralytics, and what is trained with it, is AGPL-3.0; this is the only file that imports it. Its
checkpoints are pickles, which may carry code: they are opened by its restricted loader, which knows
the classes of networks and nothing else.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inscene.errors import MachineError
from inscene.faces.detectors import ByteImage, largest_first
from inscene.faces.face import Face
from inscene.weights.model_files import check_exists, not_a_model, unreadable

MODEL = "a YOLOv8-face checkpoint"
MAX_STRIDE_PX = 32
GREY = 114
"""What ultralytics pads with (data/augment.py, LetterBox)."""
OVERLAP = 0.4
"""[chosen] Intersection over union from which on two boxes are one face; that of SCRFD."""
LANDMARKS = 5


class Yolov8Face:
    """Looks at each image once for each of ``sizes_px``, its longer side in px, and merges what it
    finds; a larger size finds smaller faces. ``batch`` images of one shape run together.

    ``threads`` are torch's and hold for the whole process; None leaves them alone. Raises
    ``MachineError`` without ultralytics, and for a file that is not such a model or carries code;
    ``ValueError`` for a size that is not a multiple of 32.
    """

    def __init__(
        self,
        weights: Path,
        *,
        min_score: float = 0.5,
        sizes_px: Sequence[int] = (640, 1280),
        batch: int = 4,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        if not sizes_px or any(size <= 0 or size % MAX_STRIDE_PX for size in sizes_px):
            raise ValueError(f"sizes are multiples of {MAX_STRIDE_PX} px, got {sizes_px}")
        network = _load(weights)
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        self._min_score, self._sizes_px, self._batch = min_score, tuple(sizes_px), batch
        self._network, self._device = network.to(device), device

    def detect(
        self, images: Sequence[ByteImage], stored: Sequence[Face | None] = ()
    ) -> list[list[Face]]:
        found: list[list[Any]] = [[] for _ in images]
        for size_px in self._sizes_px:
            fits = [_Fit.of(image.shape[:2], size_px) for image in images]
            # Only what fits the same canvas runs together: a face must not depend on its company.
            together = defaultdict(list)
            for index, fit in enumerate(fits):
                together[fit.canvas].append(index)
            for indices in together.values():
                for start in range(0, len(indices), self._batch):
                    some = indices[start : start + self._batch]
                    candidates = self._run([fits[i].pad(images[i]) for i in some])
                    for i, rows in zip(some, candidates, strict=True):
                        found[i].append(fits[i].back(rows))
        return [_merge(np.concatenate(rows)) for rows in found]

    def _run(self, canvases: list[ByteImage]) -> list[Any]:
        """For each canvas n × 15: x, y, width, height, score, x and y of five landmarks."""
        import torch

        pixels = torch.from_numpy(np.stack(canvases).transpose(0, 3, 1, 2)).to(self._device)
        with torch.inference_mode():
            output, _ = self._network(pixels.float() / 255)
        rows = output.transpose(1, 2).float().cpu().numpy()
        numbers = LANDMARKS * self._network.kpt_shape[1]
        scores = rows[..., 4:-numbers].max(-1)
        points = rows[..., -numbers:].reshape(*scores.shape, LANDMARKS, -1)[..., :2]
        flat = points.reshape(*scores.shape, 2 * LANDMARKS)
        rows = np.concatenate([rows[..., :4], scores[..., None], flat], axis=-1)
        return [
            of_one[score >= self._min_score] for of_one, score in zip(rows, scores, strict=True)
        ]


@dataclass(frozen=True)
class _Fit:
    """An image on its canvas: its longer side has the size asked for, each side is padded to whole
    strides, half before and half after. All are (height, width) in px."""

    image: tuple[int, int]
    fitted: tuple[int, int]
    canvas: tuple[int, int]

    @classmethod
    def of(cls, image: tuple[int, ...], size_px: int) -> _Fit:
        height, width = image
        fit = size_px / max(image)
        fitted = max(1, round(height * fit)), max(1, round(width * fit))
        rows, columns = (-(-side // MAX_STRIDE_PX) * MAX_STRIDE_PX for side in fitted)
        return cls((height, width), fitted, (rows, columns))

    @property
    def before(self) -> tuple[int, int]:
        """Padding above and on the left, px."""
        return (self.canvas[0] - self.fitted[0]) // 2, (self.canvas[1] - self.fitted[1]) // 2

    def pad(self, image: ByteImage) -> ByteImage:
        canvas = np.full((*self.canvas, 3), GREY, np.uint8)
        (top, left), (height, width) = self.before, self.fitted
        resized = cv2.resize(np.ascontiguousarray(image), (width, height))
        canvas[top : top + height, left : left + width] = resized
        return canvas

    def back(self, rows: Any) -> Any:
        """n × 15 as the network has them to x0, y0, x1, y1, score, landmarks, in px of the
        image."""
        middle, half = rows[:, :2], rows[:, 2:4] / 2
        corners = np.stack([middle - half, middle + half], axis=1)
        landmarks = rows[:, 5:].reshape(-1, LANDMARKS, 2)
        scale = np.array(self.image[::-1]) / self.fitted[::-1]
        points = (np.concatenate([corners, landmarks], axis=1) - self.before[::-1]) * scale
        flat = points.reshape(-1, 4 + 2 * LANDMARKS)
        return np.concatenate([flat[:, :4], rows[:, 4:5], flat[:, 4:]], axis=1)


def _merge(rows: Any) -> list[Face]:
    import torch
    from torchvision.ops import nms

    boxes, scores = torch.from_numpy(rows[:, :4]), torch.from_numpy(rows[:, 4])
    kept = rows[nms(boxes, scores, OVERLAP).numpy()]
    # The order of the key points is that of face.py: left eye, right eye, nose, left mouth, right
    # mouth in the image (derronqi/yolov8-face, ultralytics/datasets/widerface.yaml: flip_idx
    # 1 0 2 4 3 over RetinaFace's annotation of WIDER FACE).
    return largest_first(kept[:, :4], kept[:, 4], kept[:, 5:].reshape(-1, LANDMARKS, 2))


def _load(weights: Path) -> Any:
    """The network in float32, ready to run on the CPU."""
    check_exists(weights)
    try:
        with _apart():
            import torch

            # Without these two, the loader is not torch's restricted one, whatever it is asked for.
            from torch.serialization import get_unsafe_globals_in_checkpoint  # noqa: F401
            from ultralytics.nn.tasks import torch_safe_load
            from ultralytics.utils import SAFE_LOAD  # noqa: F401
    except ImportError as error:
        raise MachineError(
            "the face detector yolov8-face needs a recent ultralytics, and torch from 2.6 on",
            why=f"{error}.",
            next_step="Run: pip install --upgrade 'inscene[gallery]'",
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        # ultralytics edits the names it is given ("'", "yolov5") and downloads what is then not
        # there: this one needs no edit.
        link = Path(folder) / "weights.pt"
        link.symlink_to(weights.resolve())
        try:
            checkpoint, _ = torch_safe_load(str(link), safe_only=True)
            model = checkpoint.get("ema") or checkpoint["model"]
            if not isinstance(model, torch.nn.Module):
                raise TypeError(f"its model is a {type(model).__name__}")
        except Exception as error:  # whatever a file of unknown origin provokes
            raise unreadable(weights, MODEL, error) from error
    network: Any = model
    shape = list(getattr(network, "kpt_shape", []))
    if shape not in ([LANDMARKS, 2], [LANDMARKS, 3]):
        has = f"it has {shape[0]} landmarks" if shape else "it finds boxes without landmarks"
        raise not_a_model(weights, MODEL, f"A face has {LANDMARKS} landmarks, {has}.")
    if getattr(network.model[-1], "end2end", False):
        raise not_a_model(weights, MODEL, "Its head is that of a later YOLO.")
    for layer in network.modules():
        if isinstance(layer, torch.nn.Upsample):
            layer.recompute_scale_factor = None  # which torch before 1.11 did not save
    return network.float().fuse(verbose=False).eval()


@contextmanager
def _apart() -> Iterator[None]:
    """While ultralytics is imported: it would ask the network whether it is there, write its
    settings to the home folder, say so, and hold OpenMP to one thread. Offline at its import, it
    sends no analytics later."""
    with tempfile.TemporaryDirectory() as folder:
        during = {
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
            "YOLO_AUTOINSTALL": "0",
            "YOLO_CONFIG_DIR": folder,
            "YOLO_OFFLINE": "1",
            "YOLO_VERBOSE": "0",
        }
        before = {name: os.environ.get(name) for name in during}
        _set(during)
        try:
            yield
        finally:
            _set(before)


def _set(environment: dict[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
