"""Pillow's process-wide switches, held at known values while this package decodes.

Three of them change what a decode does, and any library in the process may have set them:
``LOAD_TRUNCATED_IMAGES`` turns cut files into half-grey images, ``MAX_IMAGE_PIXELS`` warns, and
raises at twice its value, where our own limit has already decided, and the warning filters decide
whether an odd EXIF tag is silence, noise on a terminal or an exception.
"""

from __future__ import annotations

import threading
import types
import warnings

from PIL import Image, ImageFile


class _StrictAndQuiet:
    """Re-entrant across threads: the first in sets the switches, the last out restores them.

    The switches are global, so one save and restore per thread would interleave and leave the
    wrong values behind. A lock around the whole decode would be simpler, but would make readers
    take turns where Pillow releases the GIL.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                # Only what Pillow's own modules say; other threads keep their warnings.
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._saved = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = self._saved
                self._filters.__exit__(kind, value, trace)


strict_and_quiet = _StrictAndQuiet()
