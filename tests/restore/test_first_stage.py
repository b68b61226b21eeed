"""The face that leads is found, restored and paired; or the scene has none, and is said to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from inscene.bench.methods import Sample
from inscene.errors import MachineError, RecipeError, SampleError, UsageError
from inscene.restore.first_stage import FirstStage
from inscene.restore.settings import Settings, settings_of

pytest.importorskip("facenet_pytorch")


@pytest.fixture(scope="session")
def sample(astronaut: np.ndarray) -> Sample:
    return Sample("eileen/whole.png", 0, astronaut, (512, 512))


@pytest.fixture(scope="session")
def without_face() -> np.ndarray:
    return np.ascontiguousarray(data.coffee()[:256, :256])


def first(**settings: Any) -> FirstStage:
    return FirstStage(settings_of(settings, "test"))


def look(stage: FirstStage, sample: Sample) -> Any:
    return stage.look(sample.lq, sample)


def test_without_references_no_face_is_looked_at(sample: Sample) -> None:
    finding = look(first(), sample)
    assert finding.pair is None
    assert finding.notes == ["no_references", "text_tokens_only"]
    assert finding.stage_s == {}


def test_a_blind_restorer_in_their_place(sample: Sample, landmarks5: np.ndarray) -> None:
    finding = look(first(blind="identity"), sample)
    assert finding.notes == ["no_references"]
    assert list(finding.stage_s) == ["find_face", "restore_face"]
    pair = finding.pair
    x, y = landmarks5.mean(0)
    assert pair.box.x0 < x < pair.box.x1
    assert pair.box.y0 < y < pair.box.y1
    assert (pair.lq == pair.box.crop(sample.lq)).all()
    inside = pair.valid > 0.99
    assert np.abs(pair.hq[inside].astype(int) - pair.lq[inside]).mean() < 3


def test_no_face(without_face: np.ndarray) -> None:
    finding = look(first(blind="identity"), Sample("cups", 0, without_face, (256, 256)))
    assert finding.pair is None
    assert finding.notes == ["no_references", "no_face", "text_tokens_only"]
    assert list(finding.stage_s) == ["find_face"]


def test_landmarks_of_the_dataset(sample: Sample, landmarks5: np.ndarray) -> None:
    stage = first(blind="identity", detect_on="metadata")
    stage.require(references=True)  # nothing is looked for, so nothing is needed
    found = look(stage, replace(sample, landmarks5=landmarks5))
    seen = look(first(blind="identity"), sample)
    assert abs(found.pair.box.x0 - seen.pair.box.x0) <= 4
    assert look(stage, sample).notes == ["no_references", "no_face", "text_tokens_only"]
    elsewhere = look(stage, replace(sample, landmarks5=landmarks5 - 2000))
    assert elsewhere.notes == ["no_references", "face_without_pixels", "text_tokens_only"]
    one_point = look(stage, replace(sample, landmarks5=landmarks5 * 0))
    assert one_point.notes == ["no_references", "landmarks_unusable", "text_tokens_only"]


def test_an_oracle_looks_at_the_clean_face_and_says_so(sample: Sample) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 10, sample.lq.shape)
    lq = np.clip(sample.lq + noise, 0, 255).astype(np.uint8)
    stage = first(ref_fr="gt")
    assert stage.needs_gt
    finding = look(stage, replace(sample, lq=lq, clean=sample.lq))
    assert finding.notes == ["saw_clean_face"]
    pair = finding.pair
    inside = pair.valid > 0.99
    clean = pair.box.crop(sample.lq)
    assert np.abs(pair.hq[inside].astype(int) - clean[inside]).mean() < 3
    assert np.abs(pair.lq[inside].astype(int) - clean[inside]).mean() > 5
    with pytest.raises(SampleError, match="clean_face_missing"):
        look(stage, sample)


def test_another_program_restores_with_the_references(
    sample: Sample, astronaut: np.ndarray, without_face: np.ndarray, program
) -> None:
    stage = first(ref_fr=program.write(references=True), face="largest")
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    finding = look(stage, replace(sample, references=(mirrored, without_face)))
    assert finding.notes == []
    assert program.runs == [1]  # of the two references one shows a face
    inside = finding.pair.valid > 0.99
    sums = finding.pair.hq[inside].astype(int) + finding.pair.lq[inside]
    assert np.abs(sums - 255).mean() < 3  # it inverts
    again = look(stage, replace(sample, references=(mirrored, without_face)))
    assert program.runs == [1]
    assert (again.pair.hq == finding.pair.hq).all()
    with pytest.raises(SampleError, match="references_without_face"):
        look(stage, replace(sample, references=(without_face,)))
    assert look(stage, sample).notes == ["no_references", "text_tokens_only"]


def test_a_program_that_needs_no_references_is_used_without(sample: Sample, program) -> None:
    finding = look(first(ref_fr=program.write()), sample)
    assert finding.notes == []
    assert program.runs == [0]


def test_a_program_that_fails_is_the_scenes_error(sample: Sample, program) -> None:
    stage = first(ref_fr=program.write("sys.exit(3)"))
    with pytest.raises(SampleError, match="method_crashed"):
        look(stage, sample)


def test_a_program_that_is_not_here(sample: Sample, tmp_path: Path) -> None:
    stage = first(blind="codeformer")
    with pytest.raises(MachineError, match="No checkout"):
        look(stage, sample)


@pytest.mark.parametrize("quality", ["good", "bad"])
def test_qualities_of_the_restored_face(sample: Sample, program, quality: str) -> None:
    name = program.write()
    given = replace(sample, clean=sample.lq)
    plain = look(first(ref_fr=name), given).pair.hq.astype(int)
    stage = first(ref_fr=name, ref_fr_quality=quality)
    finding = look(stage, given)
    distance = np.abs(finding.pair.hq - plain).mean()
    assert stage.needs_gt == (quality == "good")  # which is a tenth of the clean face
    assert finding.notes == (["saw_clean_face"] if quality == "good" else [])
    assert 3 < distance < 20


def test_the_referenced_face_leads(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """``test_face_choice.py`` has the recogniser; here, that references reach it."""
    asked: list[int] = []
    stage = first(blind="identity", ref_fr="identity")

    def landmarks(scene: np.ndarray, references: tuple[np.ndarray, ...]) -> None:
        asked.append(len(references))

    monkeypatch.setattr(stage._choice, "landmarks", landmarks)
    look(stage, replace(sample, references=(sample.lq,) * 3))
    assert asked == [3]


# Settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"checkpont": "x"}, "test: no parameter 'checkpont' Did you mean 'checkpoint'"),
        ({"device": "gpu"}, "device: 'gpu' is none of auto, cpu, cuda, cuda:1, mps"),
        ({"dtype": "float16"}, "dtype: Input should be 'auto', 'float32' or 'bfloat16'"),
        ({"guidance_scale": 0.5}, "guidance_scale: "),
        ({"tokens": -1}, "tokens: "),
        ({"colour_fix": "wavlet"}, "colour_fix: "),
    ],
)
def test_settings_that_are_wrong(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        settings_of(values, "test")


def test_a_misspelt_face_restorer() -> None:
    with pytest.raises(UsageError, match="Did you mean 'faceme'"):
        FirstStage(Settings(ref_fr="facem"))
    with pytest.raises(UsageError, match="Did you mean 'identity'"):
        FirstStage(Settings(blind="identiy"))


def test_what_decides_is_in_the_fingerprint(program) -> None:
    prints = {
        str(first(**settings).fingerprint())
        for settings in (
            {},
            {"ref_fr": program.write()},
            {"ref_fr_quality": "bad"},
            {"blind": "identity"},
            {"face": "largest"},
        )
    }
    assert len(prints) == 5
