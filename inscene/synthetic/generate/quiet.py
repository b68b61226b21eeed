"""Libraries that speak of what is meant to be so: long prompts that CLIP cuts, files that load."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = [
    logging.getLogger(name) for name in ("bitsandbytes", "diffusers", "peft", "transformers")
]


@contextmanager
def quiet() -> Iterator[None]:
    """No line below an error in the logs of these libraries, and no progress bars of theirs;
    afterwards all is as before."""
    levels = [logger.level for logger in _LOGGERS]
    _errors_only()
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    _errors_only()  # they set their own levels when they are imported
    bars = [of for of in (of_diffusers, of_transformers) if of.is_progress_bar_enabled()]
    for bar in bars:
        bar.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # diffusers 0.42 builds its own control net with a class that it deprecates, and has a
            # new name for an argument that older versions know by this one only.
            for name in ("FluxPosEmbed", "torch_dtype"):
                warnings.filterwarnings("ignore", f"`{name}` is deprecated", FutureWarning)
            yield
    finally:
        for bar in bars:
            bar.enable_progress_bar()
        for logger, level in zip(_LOGGERS, levels, strict=True):
            logger.setLevel(level)


def _errors_only() -> None:
    for logger in _LOGGERS:
        logger.setLevel(logging.ERROR)
