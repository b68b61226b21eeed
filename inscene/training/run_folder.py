"""The folder of one training run.

run.json                   what decides its result; another recipe is refused
log.jsonl                  a line for each logged step
tensorboard/               the same for TensorBoard, where that is installed
samples/                   pictures that validation draws
checkpoints/step-00000123  the run after 123 steps: state/ to go on from, model/ to use
best.json                  which validated checkpoint was the best
model/                     what the run has trained, once it has ended
bad_batch/                 the batch that made the numbers leave the finite ones; of several
                           workers, the first one's part: bad_batch-1/ … are those of the others
.stop                      asks workers elsewhere to end after the step at hand
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inscene.dataset.lock import hold
from inscene.dataset.store import LocalStore, is_url
from inscene.errors import MachineError, RecipeError, UsageError

RUN, LOG, BEST, STOP = "run.json", "log.jsonl", "best.json", ".stop"
MODEL, STATE = "model", "state"
CHECKPOINTS, SAMPLES, TENSORBOARD, BAD_BATCH = "checkpoints", "samples", "tensorboard", "bad_batch"
_STEP = "step-"
_FULL = {errno.ENOSPC, errno.EDQUOT}

Filler = Callable[[Path], None]
"""Writes into an empty folder."""


@dataclass(frozen=True)
class Judged:
    """What validation says of a checkpoint."""

    metric: str
    value: float
    higher: bool
    """Whether more is better."""


class RunFolder:
    """Only local: a checkpoint is a renamed folder, which object stores do not have."""

    def __init__(self, out: str | Path, *, keep: int = 3) -> None:
        if is_url(str(out)):
            raise UsageError(
                "a run of training is written to a local folder",
                where=str(out),
                next_step="Give --out a folder; copy the checkpoint when it is there.",
            )
        if keep < 1:
            raise ValueError(f"one checkpoint must be kept at least, got {keep}")
        self.folder, self.keep = Path(out).expanduser().absolute(), keep

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """One run at a time. Raises ``BusyError`` where another has it."""
        with hold(LocalStore(self.folder)):
            self._sweep()
            yield

    # What the run is

    def check(self, fingerprint: Mapping[str, Any]) -> None:
        """Raises ``RecipeError``, naming the key, where the run that is there is another one, and
        ``UsageError`` where what is there is no run at all. Changes nothing."""
        file = self / RUN
        if not file.is_file():
            found = [one.name for one in _listed(self.folder) if one.name not in ("run", STOP)]
            if found:
                raise UsageError(
                    f"holds {found[0]!r}, which no training wrote",
                    where=str(self.folder),
                    next_step="Choose another --out.",
                )
            return
        try:
            theirs = json.loads(file.read_text(encoding="utf-8"))["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                "cannot be read",
                where=str(file),
                why=f"{error}.",
                next_step="Choose another --out.",
            ) from error
        ours = json.loads(json.dumps(fingerprint))
        if found_one := _first_difference(theirs, ours):
            key, there, now = found_one
            raise RecipeError(
                f"was begun with another {key}: {there!r} there and {now!r} now",
                where=str(self.folder),
                next_step="Use the same to resume, or choose another --out.",
            )

    def begin(self, fingerprint: Mapping[str, Any]) -> None:
        """:meth:`check`, and a new folder becomes this run."""
        self.check(fingerprint)
        if not (self / RUN).is_file():
            text = json.dumps({"fingerprint": fingerprint}, indent=1, sort_keys=True)
            self.replace(RUN, text)

    # Checkpoints

    def checkpoints(self) -> list[tuple[int, Path]]:
        """All whole ones, by their steps; the oldest first."""
        found = []
        for path in _listed(self / CHECKPOINTS):
            number = path.name.removeprefix(_STEP)
            if path.name.startswith(_STEP) and number.isdecimal():
                found.append((int(number), path))
        return sorted(found)

    def latest(self) -> tuple[int, Path] | None:
        return next(reversed(self.checkpoints()), None)

    def save_checkpoint(self, step: int, fill: Filler, judged: Judged | None = None) -> Path:
        """Write one and drop those that are not among the newest and not the best. It appears when
        it is whole and on the disk. ``judged``: what it was found to be worth, if it was."""
        path = self / CHECKPOINTS / f"{_STEP}{step:08d}"
        self.write_folder(path, fill)
        if judged is not None:
            self._offer_best(step, judged)
        self._prune()
        return path

    def write_folder(self, path: Path, fill: Filler) -> None:
        """``fill`` is given an empty folder beside ``path``, which is then renamed to it; what was
        there is replaced."""
        fresh = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
        old = path.with_name(f".{path.name}.old-{secrets.token_hex(4)}")
        try:
            with self.writing(path):
                fresh.mkdir(parents=True)
                fill(fresh)
                _settle(fresh)
                if path.exists():
                    path.rename(old)
                fresh.rename(path)
                _flush(path.parent)
        finally:
            for rest in (fresh, old):
                shutil.rmtree(rest, ignore_errors=True)

    def _prune(self) -> None:
        best = self.best()
        kept = {step for step, _ in self.checkpoints()[-self.keep :]}
        kept |= {best["step"]} if best else set()
        for step, path in self.checkpoints():
            if step not in kept:
                # Renamed first: half a checkpoint must never look like one.
                gone = path.with_name(f".{path.name}.old-{secrets.token_hex(4)}")
                path.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)

    def best(self) -> dict[str, Any] | None:
        """``step``, ``metric`` and ``value`` of the best checkpoint, if one was validated."""
        try:
            found: dict[str, Any] = json.loads((self / BEST).read_text(encoding="utf-8"))
            return found
        except (OSError, ValueError):
            return None

    def _offer_best(self, step: int, judged: Judged) -> None:
        """Of equals the first."""
        best, value = self.best(), judged.value
        if not math.isfinite(value):
            return
        if best and (value <= best["value"] if judged.higher else value >= best["value"]):
            return
        self.replace(BEST, json.dumps({"step": step, "metric": judged.metric, "value": value}))

    # The log

    def log(self, line: Mapping[str, Any]) -> None:
        """Append one line; what is not finite becomes null."""
        text = json.dumps({key: _plain(value) for key, value in line.items()}, allow_nan=False)
        with self.writing(self / LOG), (self / LOG).open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """What was logged; a line that a killed run left torn is none."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for text in (self / LOG).read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    found.append(json.loads(text))
        return found

    def forget_after(self, step: int) -> None:
        """What a killed run did after its last checkpoint is done again: its lines go."""
        if (self / LOG).exists():
            kept = [line for line in self.lines() if line["step"] <= step]
            self.replace(LOG, "".join(json.dumps(line) + "\n" for line in kept))

    # Files

    def replace(self, name: str, text: str) -> None:
        """Write a small file whole, over whatever it held."""
        with self.writing(self / name):
            LocalStore(self.folder).replace(name, text.encode())

    @contextlib.contextmanager
    def writing(self, what: Path) -> Iterator[None]:
        """Explains a disk that is full or cannot be written."""
        try:
            yield
        except OSError as error:
            latest = self.latest()
            safe = f"The checkpoint of step {latest[0]} is whole." if latest else ""
            if error.errno in _FULL:
                raise MachineError(
                    "the disk is full",
                    where=str(what),
                    why=safe or "There is no checkpoint yet.",
                    next_step="Free some space, or set keep to fewer checkpoints, and run the same "
                    "command again: it resumes.",
                ) from error
            raise MachineError(
                "cannot be written",
                where=str(what),
                why=f"{error.strerror or error}. {safe}".strip(),
                next_step="Choose another --out, or mend its permissions.",
            ) from error

    def _sweep(self) -> None:
        """What killed runs left half done."""
        for folder in (self.folder, self / CHECKPOINTS, self / SAMPLES):
            for path in _listed(folder):
                if path.name.startswith(".") and (".tmp-" in path.name or ".old-" in path.name):
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink(missing_ok=True)


def _listed(folder: Path) -> Sequence[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _settle(folder: Path) -> None:
    """On the disk, and readable for whom the user lets read: safetensors makes files for their
    owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    for path in (*folder.rglob("*"), folder):
        if path.is_file():
            path.chmod(0o666 & ~mask)
        _flush(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _first_difference(theirs: Any, ours: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first place where two JSON values differ, as a dotted key and both values."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted(theirs.keys() | ours.keys()):
            inside = _first_difference(theirs.get(name), ours.get(name), f"{key}.{name}".strip("."))
            if inside:
                return inside
        return None
    return None if theirs == ours else (key, theirs, ours)
