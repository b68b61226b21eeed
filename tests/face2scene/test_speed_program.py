"""benchmarks/speed/restore.py runs, its ways agree, and its tables have their rows."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

PROGRAMS = Path(__file__).resolve().parents[2] / "benchmarks/speed"
sys.path.insert(0, str(PROGRAMS))
try:
    import restore
    import restore_run
    from restore_variants import DEFAULT, ON_CPU, ON_CUDA, PLAIN, cannot
finally:
    sys.path.remove(str(PROGRAMS))

SIDE = 64


class Here:
    """A variant in this process, since a process of its own takes seconds to import torch."""

    def __init__(self, options: restore_run.Options) -> None:
        self.variant, self.output = options.variant, Path(options.output)
        self._worker = restore_run.Worker(options)
        self.first_s = self._worker.facts["first_s"]
        self.at_rest_mb = self._worker.facts["at_rest_mb"]
        self.runs: list[dict] = []

    def run(self) -> None:
        self.runs.append(self._worker.run())

    def end(self) -> None:
        self.peak_mb = self._worker.end()["peak_mb"]

    def stop(self) -> None:
        pass

    median_s, part_s = restore.Child.median_s, restore.Child.part_s


def options(**changes: object) -> argparse.Namespace:
    usual = dict(family="tiny", sides=[SIDE], runs=1, device="cpu", minutes=10.0, compile=False)
    return argparse.Namespace(**{**usual, "latent_tile": 6, "latent_overlap": 2, **changes})


@pytest.fixture(scope="module")
def said() -> str:
    """What it prints."""
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda *words, **_: lines.append(" ".join(map(str, words))))
        restore.report(options(), Here)
    return "\n".join(lines)


def table(said: str, first_head: str) -> dict[str, list[str]]:
    (found,) = re.findall(rf"^\| {first_head}.*\n(?:\|.*\n?)+", said, flags=re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in found.splitlines()]
    return {row[0]: row[1:] for row in rows[2:]}


def test_every_way_has_its_row(said: str) -> None:
    times = table(said, r"variant +\| +(?:n/a|[\d.]+|ms)")
    assert list(times) == [variant.name for variant in ON_CPU]
    assert times["same with compile"][0].startswith("n/a")
    del times["same with compile"]
    for name, cells in times.items():
        assert all(re.fullmatch(r"-?[\d.–]+×?", cell) for cell in cells), name
        assert len(cells) == 8


def test_the_parts_are_of_the_whole(said: str) -> None:
    parts = table(said, r"variant +\| +tokens")
    assert len(parts) == len(ON_CPU) - 1
    for name, cells in parts.items():
        *known, rest = map(float, cells)
        assert all(part >= 0 for part in known), name
        assert sum(known) > 0, name
        assert rest >= -len(cells), name  # rounding of each


def test_all_ways_give_the_same_picture(said: str) -> None:
    differences = table(said, r"variant +\| +largest")
    assert set(differences) == {
        *(one.name for one in ON_CPU if not one.plain and not one.compiled),
        "plain, untiled, beside plain",
    }
    for variant in ON_CPU:
        if variant.name in differences and not variant.bf16:
            assert float(differences[variant.name][0]) < restore.DIFFERENCE_LIMIT
    # Of the program's goal of 40 dB so small a scene misses some (38.7): that is said, and is no
    # failure of the program.
    assert float(differences["same with bf16"][2]) > 30
    # Tiles do change what the UNet sees: the comparison above could have failed.
    assert float(differences["plain, untiled, beside plain"][0]) > 1e-2
    missed = [line for line in said.splitlines() if "NOT MET" in line]
    assert all("bf16" in line for line in missed)


def test_fastest_and_default_are_named(said: str) -> None:
    for words in ("fastest", "fastest that is tiled as the plain way", "what `inscene restore`"):
        assert re.search(
            rf"^- {re.escape(words)}.*: .*× the plain way, in CPU time .*×$", said, re.MULTILINE
        )
    for device, ways in (("cpu", ON_CPU), ("cuda", ON_CUDA)):
        assert DEFAULT[device] in [variant.name for variant in ways]


def test_a_wrong_picture_is_seen(tmp_path: Path) -> None:
    one, other = (
        argparse.Namespace(output=tmp_path / f"{name}.npy", variant=PLAIN) for name in "ab"
    )
    image = np.zeros((3, 8, 8), np.float32)
    np.save(one.output, image)
    image[0, 0, 0] = 0.01
    np.save(other.output, image)
    found = restore.Difference.of(one, other)
    assert found.largest == pytest.approx(0.01)
    assert not found.is_rounding(PLAIN)
    assert restore.Difference.of(one, one).psnr_db == np.inf


def test_no_runs_after_the_deadline(tmp_path: Path) -> None:
    one = [variant for variant in ON_CPU if variant is PLAIN]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "variants", lambda device: one)
        (late,) = restore.measure(options(runs=5), SIDE, "cpu", tmp_path, 0.0, Here)
    assert len(late.runs) == 1


def test_compiling_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = next(variant for variant in ON_CPU if variant.compiled)
    assert cannot(compiled, "cpu") == "n/a: only with --compile"
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = cannot(compiled, "cpu", compile_on_cpu=True)
    assert found is not None
    assert "no-such-compiler" in found
    assert cannot(replace(compiled, compiled=False), "cpu") is None


def test_a_process_of_its_own(tmp_path: Path) -> None:
    """It says the same as the one here."""
    variant = next(one for one in ON_CPU if one.name == DEFAULT["cpu"])
    outputs = [str(tmp_path / f"{name}.npy") for name in ("there", "here")]
    there, here = (
        restore_run.Options(variant, "tiny", SIDE, "cpu", 6, 2, output) for output in outputs
    )
    child = restore.Child.start(there)
    try:
        child.run()
        child.end()
    finally:
        child.stop()
    Here(here)
    assert len(child.runs) == 1
    assert child.peak_mb > 0
    assert child.first_s > 0
    np.testing.assert_allclose(*(np.load(output) for output in outputs), atol=1e-5)
