"""`inscene funnel --set` over datasets of the step `identity`, and its mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from loopback.pulled import pulled
from PIL import Image
from synthetic_photos import synthetic_photo
from tiny_weights.insightface_packs import paint_face

from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.engine.what_if import what_if
from inscene.errors import UsageError
from inscene.recipe import load_recipe

for _package in ("insightface", "onnxruntime", "onnx"):
    pytest.importorskip(_package, reason="extra: generate")

LEAST = 0.9


@pytest.fixture(scope="module", autouse=True)
def _weights(tmp_path_factory: pytest.TempPathFactory, inscene) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("weights")
    with (
        pulled(["buffalo_l"], folder, inscene) as variables,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen photographs whose faces are more and more unlike the first one's, and one without."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    (folder / "anna").mkdir(parents=True)
    pattern = np.array([[1, -1], [-1, 1]]).repeat(20, 0).repeat(20, 1)[..., None]
    for index in range(12):
        photo = np.asarray(synthetic_photo(index, 320, 240)) // 8
        paint_face(photo, 100, 90, 64)
        photo[70:110, 80:120] = (190 + 5 * index * pattern).astype(np.uint8)
        Image.fromarray(photo).save(folder / "anna" / f"{index:02d}.png")
    nobody = np.asarray(synthetic_photo(50, 320, 240)) // 8
    Image.fromarray(nobody).save(folder / "anna" / "nobody.png")
    (folder.parent / "references" / "anna").mkdir(parents=True)
    first = Image.open(folder / "anna" / "00.png")
    first.save(folder.parent / "references" / "anna" / "face.png", optimize=True)
    return folder


def make(photos: Path, out: Path, least: float | str) -> Path:
    recipe = {
        "name": "alike",
        "makes": "scenes",
        "shard_rows": 4,
        "steps": [
            "decode",
            {"detect_faces": {"detector": "scrfd", "sizes_px": [320], "min_score": 0.1}},
            {"identity": {"references": str(photos.parent / "references"), "min": least}},
            "landmarks",
        ],
    }
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(recipe))
    loaded, text = load_recipe(str(file))
    engine.run(engine.plan(build(loaded, text), [str(photos)], str(out)))
    return out


@pytest.fixture(scope="module")
def dataset(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(photos, tmp_path_factory.mktemp("made") / "out", LEAST)


def kept(dataset: Path) -> set[str]:
    return set(pq.read_table(dataset / "data", columns=["sample_id"])["sample_id"].to_pylist())


def all_of(groups: dict[str, list[str]]) -> set[str]:
    return {name for names in groups.values() for name in names}


@pytest.mark.parametrize("least", [0.1, 0.88, 0.95, "none", "published"])
def test_it_is_what_another_run_gives(
    least: float | str, dataset: Path, photos: Path, tmp_path: Path
) -> None:
    asked = what_if(str(dataset), [f"identity.min={least}"])
    before, after = kept(dataset), kept(make(photos, tmp_path / "out", least))
    assert asked.kept == len(before)
    assert all_of(asked.lost) == before - after
    assert all_of(asked.gained) == after - before
    assert not asked.unknown
    assert asked.not_asked == ["landmarks"]


def test_there_is_something_to_tell_apart(dataset: Path) -> None:
    assert 2 <= len(kept(dataset)) <= 10
    assert what_if(str(dataset), ["identity.min=0.1"]).gained
    assert what_if(str(dataset), ["identity.min=0.95"]).lost


def test_the_same_threshold_changes_nothing(dataset: Path) -> None:
    asked = what_if(str(dataset), [f"identity.min={LEAST}"])
    assert not any((asked.lost, asked.gained, asked.unknown, asked.other_image))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("identity.mim=0.4", "Did you mean 'identity.min'?"),
        ("min", "is not KEY=VALUE"),
        ("identity.min=2", "less than or equal to 1"),
        ("identity.min=[", "identity.min=["),
        ("detect_faces.min_score=0.3", "no threshold that can be moved afterwards"),
    ],
)
def test_mistakes(setting: str, words: str, dataset: Path) -> None:
    with pytest.raises(UsageError) as caught:
        what_if(str(dataset), [setting])
    assert words in str(caught.value)


def test_a_short_key_is_enough(dataset: Path) -> None:
    assert what_if(str(dataset), ["min=0.4"]).changes[0].key == "identity.min"


def test_a_dataset_without_thresholds(photo_folder: Path, tmp_path: Path) -> None:
    loaded, text = load_recipe("photos")
    out = str(tmp_path / "out")
    engine.run(engine.plan(build(loaded, text), [str(photo_folder)], out))
    with pytest.raises(UsageError, match="no step of this dataset has thresholds"):
        what_if(out, ["identity.min=0.4"])


def test_the_command(dataset: Path, inscene) -> None:
    before = len(kept(dataset))
    shown = inscene("funnel", dataset, "--set", "identity.min=0.1").stdout
    assert "With identity.min 0.1 in place of 0.9:" in shown
    assert f"{before} of {before} kept rows would stay" in shown
    assert "what landmarks would say of them is not known" in shown
    wrong = inscene("funnel", dataset, "--set", "identity.mim=0.1", code=2)
    assert "Did you mean 'identity.min'?" in wrong.stderr
