"""Libraries that speak of what is meant to be so: long prompts that CLIP cuts, files that load."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_DIFFUSION = ("bitsandbytes", "diffusers", "peft", "transformers")


@contextmanager
def only_errors(*libraries: str) -> Iterator[None]:
    """No line below an error from the loggers of these names; afterwards all is as before.

    ``bitsandbytes``, which diffusers imports wherever it is installed, says at each start that it
    has no kernels for a CPU, and nothing here asks it for any.
    """
    loggers = [logging.getLogger(name) for name in libraries]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def quiet_diffusion() -> Iterator[None]:
    """:func:`only_errors` of diffusers and what it stands on, which are imported for it, and no
    progress bars of theirs."""
    with only_errors(*_DIFFUSION):
        from diffusers.utils import logging as of_diffusers
        from transformers.utils import logging as of_transformers

        bars = [of for of in (of_diffusers, of_transformers) if of.is_progress_bar_enabled()]
        for bar in bars:
            bar.disable_progress_bar()
        try:
            # Again: they set their own levels when they are imported.
            with only_errors(*_DIFFUSION), warnings.catch_warnings():
                # diffusers 0.42 builds its own control net with a class that it deprecates, and has
                # a new name for an argument that older versions know by this one only.
                for name in ("FluxPosEmbed", "torch_dtype"):
                    warnings.filterwarnings("ignore", f"`{name}` is deprecated", FutureWarning)
                yield
        finally:
            for bar in bars:
                bar.enable_progress_bar()
