"""Profiles: the shipped ones, and what is said about broken ones."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import inscene.degrade
from inscene.degrade import Profile, load_profile
from inscene.errors import RecipeError, UsageError
from inscene.shipped import shipped_folder, shipped_names

FOLDER = shipped_folder("pipelines") / "profiles"


@pytest.mark.parametrize("name", shipped_names("pipelines", "profiles"))
def test_shipped_profiles_load_under_their_names(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert pickle.loads(pickle.dumps(profile)) == profile
    assert load_profile(FOLDER / f"{name}.yaml") == profile


def test_shipped_numbers() -> None:
    """Where the published configurations differ."""
    mild, strong = load_profile("s3diff"), load_profile("realesrgan")
    assert mild.second is not None
    assert strong.second is not None
    assert (mild.first.blur.sigma, strong.first.blur.sigma) == ((0.2, 1.5), (0.2, 3.0))
    assert (mild.first.resize.scale, strong.first.resize.scale) == ((0.3, 1.5), (0.15, 1.5))
    assert (mild.second.blur.prob, strong.second.blur.prob) == (0.5, 0.8)
    assert (mild.second.jpeg.quality, strong.second.jpeg.quality) == ((60, 100), (30, 95))
    face = load_profile("faceme")
    assert (face.sf, face.jpeg_backend, face.second, face.final.sinc) == (1, "libjpeg", None, None)


def test_names_are_suggested() -> None:
    with pytest.raises(UsageError, match=r"no degradation profile 's3dif'.*Did you mean 's3diff'"):
        load_profile("s3dif")
    with pytest.raises(UsageError, match="Known: faceme, realesrgan, s3diff"):
        load_profile("zzz")


def written(folder: Path, path: str, value: Any) -> Path:
    """A copy of the default profile with one value changed, or removed if None."""
    data = yaml.safe_load((FOLDER / "s3diff.yaml").read_text(encoding="utf-8"))
    *parents, last = path.split(".")
    inner = data
    for key in parents:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("usmm", True, ["unknown key 'usmm'", "Did you mean 'usm'?"]),
        ("first.blur.sigmas", [1, 2], ["unknown key 'first.blur.sigmas'", "'sigma'?"]),
        ("second.noise.poisson.level", 2, ["'second.noise.poisson.level'", "'levels'?"]),
        ("first.blur", None, ["'first.blur' is missing"]),
        ("first.blur.sigma", [2, 1], ["first.blur.sigma", "[low, high]"]),
        ("first.blur.sigma", [0, 1], ["first.blur.sigma"]),
        ("first.blur.sizes", [8], ["first.blur.sizes", "odd"]),
        ("first.blur.sizes", [], ["first.blur.sizes"]),
        ("first.blur.families", {"iso": 0.0}, ["first.blur.families", "positive"]),
        ("first.blur.families", {"round": 1.0}, ["first.blur.families"]),
        ("first.blur.beta_plateau", None, ["first.blur", "beta_plateau"]),
        ("first.blur.beta_plateau", [1.5, 2], ["first.blur.beta_plateau", "include 1"]),
        ("first.resize.scale", [0.1, 0.9], ["first.resize.scale", "include 1"]),
        ("first.resize.direction", {"sideways": 1}, ["first.resize.direction"]),
        ("first.noise.poisson", None, ["first.noise", "poisson"]),
        ("first.jpeg.quality", [0, 95], ["first.jpeg.quality"]),
        ("first.blur.prob", 1.2, ["first.blur.prob"]),
        ("jpeg_backend", "turbo", ["jpeg_backend"]),
        ("sf", 0, ["sf"]),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(
    tmp_path: Path, path: str, value: Any, parts: list[str]
) -> None:
    file = written(tmp_path, path, value)
    with pytest.raises(RecipeError) as caught:
        load_profile(file)
    for part in [*parts, "mine.yaml:"]:
        assert part in str(caught.value)


def test_a_file_of_the_users_may_be_anything(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("- a list", encoding="utf-8")
    with pytest.raises(RecipeError):
        load_profile(str(file))


def test_changes_are_checked() -> None:
    profile = load_profile("s3diff")
    assert profile.with_changes(sf=2, usm=True).sf == 2
    assert profile.sf == 4
    with pytest.raises(UsageError, match="Did you mean 'registration'"):
        profile.with_changes(registratio="legacy")
    with pytest.raises(UsageError, match="registration"):
        profile.with_changes(registration="approximate")


def test_exports() -> None:
    for name in inscene.degrade.__all__:
        assert getattr(inscene.degrade, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'enhance'"):
        inscene.degrade.enhance  # noqa: B018
    assert isinstance(load_profile("s3diff"), Profile)


def test_profiles_and_names_cost_neither_opencv_nor_scipy() -> None:
    code = (
        "import sys, inscene.degrade; from inscene.degrade import load_profile;"
        "load_profile('s3diff'); print({'cv2', 'scipy', 'numpy.random'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cv2" not in done.stdout
    assert "scipy" not in done.stdout
