"""Scalars and pictures for TensorBoard, where it is installed."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def open_board(folder: Path, step: int) -> Board:
    """``step``: what an earlier run wrote after it is to be seen no more."""
    if importlib.util.find_spec("tensorboard") is None:
        return Board(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        from torch.utils.tensorboard import SummaryWriter

        return Board(SummaryWriter(str(folder), purge_step=step + 1 if step else None))


class Board:
    def __init__(self, writer: Any | None) -> None:
        self._writer = writer

    @property
    def written(self) -> bool:
        return self._writer is not None

    def scalars(self, group: str, scalars: Mapping[str, float], step: int) -> None:
        if self._writer is not None:
            for name, value in scalars.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
