"""Which of FLUX's models lie on the accelerator when.

In bfloat16 the text encoders need 9.8 GB, transformer, InfuseNet and VAE 30 GB, and sampling a few
more.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from inscene.errors import MachineError
from inscene.synthetic.generate.settings import MemoryMode

Load = Callable[[], Any]
"""Loads a pipeline of diffusers', on the CPU."""


class Places(Protocol):
    """Lends out the two pipelines, each ready to be called."""

    def text_encoders(self) -> Any:
        """A context manager."""

    def sampler(self) -> Any:
        """A context manager."""


class Resident:
    """Both stay on the device: from 48 GB on."""

    def __init__(self, text: Load, sampler: Load, device: torch.device) -> None:
        self._load_text, self._load_sampler, self._device = text, sampler, device
        self._text: Any = None
        self._sampler: Any = None

    @contextmanager
    def text_encoders(self) -> Iterator[Any]:
        if self._text is None:
            self._text = self._placed(self._load_text())
        yield self._text

    @contextmanager
    def sampler(self) -> Iterator[Any]:
        if self._sampler is None:
            self._sampler = self._placed(self._load_sampler())
        yield self._sampler

    def _placed(self, pipeline: Any) -> Any:
        return pipeline.to(self._device)


class Offload(Resident):
    """Each model comes to the device when it is called, and goes when the next one is: from 30 GB
    on, and slower. InfuseNet, which is called at every step, stays beside the transformer."""

    def __init__(self, text: Load, sampler: Load, device: torch.device) -> None:
        super().__init__(text, sampler, device)
        if device.type == "cpu":
            raise MachineError(
                "the memory mode 'offload' needs an accelerator",
                why="There is only the CPU, whose memory the models are in already.",
                next_step="Use two-phase.",
            )

    @contextmanager
    def text_encoders(self) -> Iterator[Any]:
        with super().text_encoders() as pipeline:
            yield pipeline
            pipeline.maybe_free_model_hooks()

    def _placed(self, pipeline: Any) -> Any:
        pipeline.enable_model_cpu_offload(device=self._device)
        return pipeline


class TwoPhase:
    """The text encoders are there only while prompts are encoded, and are then forgotten; what
    samples waits in the host's memory meanwhile: from 40 GB on, 24 GB where it is quantised."""

    def __init__(self, text: Load, sampler: Load, device: torch.device) -> None:
        self._load_text, self._load_sampler, self._device = text, sampler, device
        self._sampler: Any = None
        self._is_waiting = False

    @contextmanager
    def text_encoders(self) -> Iterator[Any]:
        if self._sampler is not None and not self._is_waiting:
            self._sampler.to("cpu")
            self._is_waiting = True
            free_memory(self._device)
        pipeline = self._load_text().to(self._device)
        try:
            yield pipeline
        finally:
            del pipeline
            free_memory(self._device)

    @contextmanager
    def sampler(self) -> Iterator[Any]:
        if self._sampler is None:
            self._sampler = self._load_sampler().to(self._device)
        elif self._is_waiting:
            self._sampler.to(self._device)
        self._is_waiting = False
        yield self._sampler


PLACES: dict[MemoryMode, Callable[[Load, Load, torch.device], Places]] = {
    "resident": Resident,
    "two-phase": TwoPhase,
    "offload": Offload,
    "quant": TwoPhase,
}


def find_device(wanted: str | None = None) -> torch.device:
    """As named, or this machine's accelerator, or the CPU. Raises ``MachineError`` for one that is
    not here."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if wanted is None:
        return found or torch.device("cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise MachineError(
            f"{wanted!r} is no device", next_step="Try: cpu, cuda, cuda:1"
        ) from error
    if device.type != "cpu":
        here = found is not None and found.type == device.type
        if not here or (device.index or 0) >= torch.accelerator.device_count():
            raise MachineError(f"there is no device {wanted!r} here")
    return device


def free_memory(device: torch.device) -> None:
    """Give back to the driver what nobody refers to."""
    gc.collect()
    if device.type != "cpu":
        torch.get_device_module(device).empty_cache()


_NEXT: dict[MemoryMode, str] = {
    "resident": "Use the memory mode two-phase, or a smaller batch.",
    "two-phase": "Use a smaller batch, or the memory mode offload or quant.",
    "offload": "Use a smaller batch, or the memory mode quant.",
    "quant": "Use a smaller batch or smaller images.",
}


@contextmanager
def out_of_memory_explained(mode: MemoryMode) -> Iterator[None]:
    """Where memory runs out: ``MachineError``, with what would need less."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch's own is a RuntimeError
        if not is_out_of_memory(error):
            raise
        text = (str(error).splitlines() or ["MemoryError"])[0]
        raise MachineError(
            f"memory ran out in the mode {mode}", why=text, next_step=_NEXT[mode]
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )
