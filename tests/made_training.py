"""A training that is small enough to be understood: a point that follows targets, with noise."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inscene.errors import UsageError
from inscene.face2scene.updates import NonFiniteLossError, Scalars
from inscene.training.loop import Pace, Trained, train
from inscene.training.run_folder import RunFolder
from inscene.training.state import rng_state, save_tensors, set_rng_state

FINGERPRINT = {"recipe": {"rate": 0.1, "name": "toy"}, "data": "0"}


class Targets:
    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at = fails_at

    def batch(self, step: int) -> Tensor:
        if step == self.fails_at:
            raise UsageError("cannot be read", where=f"photo {step}", next_step="Mend it.")
        return torch.full((3,), float(step % 7))


class Toy:
    """``acts``: step -> what happens in it: a signal, "nan" or "full"."""

    images_per_step = 3

    def __init__(self, acts: dict[int, Any] | None = None, fails_at: int | None = None) -> None:
        self.data = Targets(fails_at)
        self.acts = acts or {}
        self.point = torch.nn.Parameter(torch.zeros(3))
        self.optimiser = torch.optim.Adam([self.point], lr=0.1)
        self.disk_is_full = False
        self.seen: list[int] = []

    def step(self, batch: Tensor, step: int) -> Scalars:
        self.seen.append(step)
        act = self.acts.get(step)
        if isinstance(act, signal.Signals):
            os.kill(os.getpid(), act)
        if act == "nan":
            raise NonFiniteLossError("loss is nan", why="Of this step.", next_step="Rest.")
        self.disk_is_full = act == "full" or self.disk_is_full
        loss = ((self.point - batch - 0.1 * torch.randn(3)) ** 2).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"loss": loss.item(), "never": float("nan")}

    def validate(self, done: int) -> Scalars:
        return {"worth": -abs(done - 6.0)}

    def state(self) -> dict[str, Any]:
        return {
            "point": self.point.data,
            "optimiser": self.optimiser.state_dict(),
            "rng": rng_state(),
        }

    def load(self, state: Any) -> None:
        self.point.data.copy_(state["point"])
        self.optimiser.load_state_dict(state["optimiser"])
        set_rng_state(state["rng"])

    def checkpoint(self, folder: Path) -> None:
        save_tensors({"point": self.point.data}, folder / "point.safetensors")
        if self.disk_is_full:
            with open("/dev/full", "w") as file:
                file.write("a weight")

    def save_batch(self, batch: Tensor, folder: Path) -> None:
        save_tensors({"batch": batch}, folder / "batch.safetensors")


PACE = Pace(12, log_every=4, validate_every=6, checkpoint_every=3, best="worth")


def train_toy(toy: Toy, out: Path, workers: int = 0, pace: Pace = PACE) -> Trained:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return train(toy, RunFolder(out, keep=2), pace, FINGERPRINT, workers=workers)


if __name__ == "__main__":  # killed in the step that the second argument names
    train_toy(Toy({int(sys.argv[2]): signal.SIGKILL}), Path(sys.argv[1]))
