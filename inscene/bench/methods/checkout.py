"""The clone of another repository, and what it lacks."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from inscene.bench.methods import template
from inscene.bench.methods.manifest import CommandManifest
from inscene.bench.methods.places import methods_root, shown

_GIT_TIMEOUT_S = 20


@dataclass(frozen=True)
class Checkout:
    manifest: CommandManifest
    folder: Path

    @classmethod
    def of(cls, name: str, manifest: CommandManifest, beside: Path) -> Checkout:
        """``beside``: the folder of the manifest."""
        if manifest.checkout is None:
            return cls(manifest, methods_root() / name)
        return cls(manifest, (beside / manifest.checkout.expanduser()).resolve())

    @property
    def python(self) -> Path:
        given = template.filled(self.manifest.python, {"checkout": str(self.folder)})
        # Not resolved: the link in an environment is what makes it that environment's interpreter.
        return Path(given).expanduser()

    @property
    def cwd(self) -> Path:
        return self.folder / self.manifest.cwd

    def commit(self) -> str | None:
        """What is checked out; None where that cannot be told."""
        if not (self.folder / ".git").exists():
            return None
        try:
            done = subprocess.run(
                ["git", "-C", str(self.folder), "rev-parse", "HEAD"],
                capture_output=True,
                text=True,
                timeout=_GIT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def missing(self) -> list[str]:
        """What a run needs and is not there, a sentence each."""
        if not self.folder.is_dir():
            return [f"No checkout at {shown(self.folder)}: {self._how_to_clone()}"]
        found = []
        if not self.cwd.is_dir():
            found.append(f"The checkout has no folder {self.manifest.cwd}.")
        wanted, there = self.manifest.commit, self.commit()
        if wanted is not None and there != wanted:
            found.append(
                f"The checkout is at {there[:12] if there else 'an unknown commit'}, not at "
                f"{wanted[:12]}: git -C {shown(self.folder)} checkout {wanted}"
            )
        if self.manifest.uses("python") and not self.python.is_file():
            found.append(
                f"No interpreter at {shown(self.python)}: make the environment that its README "
                f"describes there."
            )
        first = self.manifest.command[0]
        if not template.names(first) and shutil.which(first) is None:
            found.append(f"There is no program {first!r} on PATH.")
        for weight in self.manifest.weights:
            if weight.path is not None and not (self.folder / weight.path).exists():
                path = shown(self.folder / weight.path)
                found.append(f"No weights at {path}: they come from {weight.source}.")
        return found

    def _how_to_clone(self) -> str:
        clone = f"git clone {self.manifest.source} {shown(self.folder)}"
        if self.manifest.commit is None:
            return clone
        return f"{clone} && git -C {shown(self.folder)} checkout {self.manifest.commit}"

    def facts(self) -> dict[str, str]:
        commit = self.manifest.commit or "not pinned: any may differ from what was read"
        return {
            "repository": self.manifest.source,
            "commit": commit,
            "checkout": shown(self.folder),
            "environment": shown(self.python) if self.manifest.uses("python") else "PATH",
        }
