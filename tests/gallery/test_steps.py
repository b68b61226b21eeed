"""The steps of curation, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_photos import synthetic_photo

from inscene.engine.registry import STEPS, build
from inscene.engine.rows import Drop, Fail, Keep, Outcome, Row
from inscene.engine.step import Step, StepContext
from inscene.errors import RecipeError
from inscene.faces.columns import FOUND, store_face, stored_face
from inscene.faces.face import Face
from inscene.faces.mapped import mapped, mapped_face, reduced
from inscene.gallery.steps.face_quality import FaceArea, Sharpness, laplacian_vars
from inscene.gallery.steps.iqa import Iqa, Measure
from inscene.gallery.steps.people import People, prominent_faces
from inscene.gallery.steps.refine import overlap
from inscene.gallery.steps.size import MinSize
from inscene.gallery.steps.square import Square
from inscene.quality.one_pass import Score
from inscene.recipe import load_recipe

NO_WEIGHTS = ("iqa=null", "people.keep=largest")


def face(x0: float, y0: float, x1: float, y1: float) -> Face:
    share = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return Face((x0, y0, x1, y1), 0.99, share * (x1 - x0, y1 - y0) + (x0, y0))


def row(width: int, height: int, box: Face | None = None, **columns: Any) -> Row:
    pixels = np.asarray(synthetic_photo(1, width, height))
    found = Row("a", {"sample_id": "a", "width": width, "height": height, **columns}, pixels)
    if box is not None:
        store_face(found.columns, box)
        found.columns[FOUND] = [box]
    return found


def run(step: Step, *rows: Row) -> Sequence[Outcome]:
    return step.setup(StepContext(seed=0))(rows)


def test_min_size_counts_the_shorter_side() -> None:
    rows = [row(40, 30), row(30, 40), row(29, 400)]
    kept, turned, small = run(MinSize(short_side_px=30), *rows)
    assert isinstance(kept, Keep)
    assert isinstance(turned, Keep)
    assert small == Drop("too_small", "29x400: 30 px are needed")
    assert [one.scores["short_side_px"] for one in rows] == [30, 30, 29]


def test_a_square_is_no_centre_crop() -> None:
    one = row(300, 100, face(10, 20, 50, 70))
    pixels = one.pixels
    assert pixels is not None
    run(Square(side_px=100), one)
    assert np.array_equal(one.pixels, pixels[:, :100])
    assert one.columns["face_bbox"] == [10, 20, 50, 70]
    other = row(300, 100, face(190, 20, 230, 70))
    run(Square(side_px=100), other)
    assert np.array_equal(other.pixels, pixels[:, 160:260])
    assert other.columns["face_bbox"] == [30, 20, 70, 70]


@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(40, 120),
    height=st.integers(40, 120),
    keep=st.sampled_from(["face", "person"]),
    numbers=st.tuples(*[st.floats(-0.2, 1.2)] * 4),
)
def test_the_whole_face_is_in_every_square(
    width: int, height: int, keep: Any, numbers: tuple[float, ...]
) -> None:
    (x0, x1), (y0, y1) = sorted(numbers[:2]), sorted(numbers[2:])
    box = face(x0 * width, y0 * height, x1 * width + 1, y1 * height + 1)
    start = Square(keep=keep)._start(box, width, height)
    long, short = max(width, height), min(width, height)
    low, high = (box.bbox[0], box.bbox[2]) if width >= height else (box.bbox[1], box.bbox[3])
    low, high = max(0.0, low), min(long - 1.0, high)
    if start is None:
        assert high - low > short - 2 or high < 0 or low > long - 1
    else:
        assert 0 <= start <= long - short
        assert start <= low
        assert high <= start + short


def test_a_face_that_does_not_fit_is_dropped_with_the_reason() -> None:
    (outcome,) = run(Square(), row(300, 100, face(50, 10, 200, 90)))
    assert outcome == Drop("face_does_not_fit", "a face of 150x80 in 100 px")
    (outcome,) = run(Square(side_px=64), row(300, 100, face(50, 10, 149, 90)))
    assert isinstance(outcome, Keep)


def test_the_square_takes_all_points_with_it() -> None:
    box = face(120, 20, 160, 70)
    one = row(300, 100, box)
    one.columns["landmarks68"] = [float(v) for v in range(136)]
    run(Square(side_px=50), one)
    start = Square()._start(box, 300, 100)
    assert start is not None
    stored = stored_face(one.columns)
    assert stored is not None
    assert np.allclose(stored.landmarks5, (box.landmarks5 - (start, 0) + 0.5) / 2 - 0.5)
    assert one.columns["landmarks68"][0] == (0 - start + 0.5) / 2 - 0.5
    assert one.pixels is not None
    assert one.pixels.shape == (50, 50, 3)
    assert (one.columns["width"], one.columns["height"]) == (50, 50)
    assert one.scores["face_area"] == pytest.approx(20 * 25 / 50**2)


def test_of_a_tall_photo_the_person_below_the_face_is_kept() -> None:
    high = face(40, 60, 60, 80)
    only_face, person = row(100, 400, high), row(100, 400, high)
    assert Square()._start(high, 100, 400) == 20  # the face in the middle
    assert Square(keep="person")._start(high, 100, 400) == 50  # from the hair on
    for one, keep in ((only_face, "face"), (person, "person")):
        run(Square(side_px=100, keep=keep), one)
    assert person.columns["face_bbox"][1] == 10
    small = face(40, 100, 46, 106)
    assert Square(keep="person")._start(small, 100, 400) == 73  # it fits


def test_without_a_face_there_is_no_square() -> None:
    (outcome,) = run(Square(), row(60, 50))
    assert isinstance(outcome, Fail)
    assert outcome.reason == "no_face_known"


@given(scale=st.floats(0.05, 20), x=st.floats(-50, 50), y=st.floats(-50, 50))
def test_faces_come_back_from_a_copy(scale: float, x: float, y: float) -> None:
    one = face(3, 4, 50, 70)
    there = mapped_face(one, scale, x, y)
    back = (there.landmarks5 + 0.5) / scale - 0.5 + (x, y)
    assert np.allclose(back, one.landmarks5, atol=1e-6)
    assert there.area == pytest.approx(one.area * scale**2)


def test_a_reduced_copy_has_the_points_where_they_were() -> None:
    image = np.zeros((400, 600, 3), np.uint8)
    image[99:102, 299:302] = 255
    small, scale = reduced(image, 100)
    assert small.shape == (100, 150, 3)
    weights = small[..., 0].astype(float)
    y, x = (np.sum(grid * weights) / weights.sum() for grid in np.indices(weights.shape))
    assert np.allclose(mapped(np.array([[x, y]]), 1 / scale), [[300, 100]], atol=0.3)
    assert reduced(image, 500) == (image, 1.0)


def test_face_area_is_measured_and_can_be_moved() -> None:
    one = row(100, 100, face(10, 10, 20, 30))
    (outcome,) = run(FaceArea(min=0.03), one)
    assert outcome == Drop("face_too_small", "0.0200 of the image; 0.03 is needed")
    facts = FaceArea(min=0.03).fingerprint()
    stored = {"scores": one.scores}
    assert FaceArea.redecide(facts, {"min": 0.01}, stored).outcome == "keep"
    assert FaceArea.redecide(facts, {"min": 0.021}, stored).reason == "face_too_small"
    assert FaceArea.redecide(facts, {"min": 0.01}, {"scores": None}).outcome == "unknown"


def test_scene_and_face_are_measured_apart() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    box = face(20, 20, 60, 60)
    flat_face = noise.copy()
    flat_face[15:70, 15:70] = 128
    for pixels, reason in (
        (np.full_like(noise, 90), "scene_blurred"),
        (flat_face, "face_blurred"),
        (noise, None),
    ):
        one = row(100, 100, box)
        one.pixels = pixels
        (outcome,) = run(Sharpness(), one)
        assert getattr(outcome, "reason", None) == reason
        assert {"laplacian_var", "face_laplacian_var"} <= one.scores.keys()


def test_the_laplacian_is_that_of_opencv() -> None:
    import cv2

    image = np.random.default_rng(2).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    scene, inside = laplacian_vars(image, face(20, 10, 60, 50))
    edges = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F)
    assert scene == pytest.approx(edges.var())
    assert inside == pytest.approx(edges[10:51, 20:61].var())
    assert laplacian_vars(image, face(-40, -40, -5, -5))[1] == 0  # beyond the image


def test_sharpness_can_be_moved() -> None:
    facts = Sharpness().fingerprint()
    stored = {"scores": {"laplacian_var": 80.0, "face_laplacian_var": 90.0}}
    assert Sharpness.redecide(facts, {"face_min": 85.0}, stored).outcome == "keep"
    assert Sharpness.redecide(facts, {"scene_min": 85.0}, stored).reason == "scene_blurred"
    assert Sharpness.redecide(facts, {}, stored).reason == "face_blurred"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((70, 0.6, 0.5), None),
        ((59.9, 0.1, 0.1), "low_musiq"),
        ((60, 0.53, 0.1), "low_clipiqa"),
        ((60, 0.54, 0.39), "low_maniqa"),
    ],
)
def test_iqa_keeps_all_scores_and_drops_for_the_first(
    values: tuple[float, ...], reason: str | None
) -> None:
    step = Iqa(Measure(60), Measure(0.54), Measure(0.4))
    one = row(40, 40)
    keys = ("musiq", "clipiqa", "maniqa")
    outcome = step._decide(one, dict(zip(keys, map(Score, values), strict=True)))
    assert getattr(outcome, "reason", None) == reason
    assert [one.scores[key] for key in keys] == list(values)
    facts = {key: {"min": getattr(step, key).min} for key in keys}
    again = Iqa.redecide(facts, {}, {"scores": one.scores})
    assert (again.outcome, again.reason) == (("drop", reason) if reason else ("keep", ""))
    moved = {"musiq.min": None, "clipiqa.min": 0.0, "maniqa.min": 0.0}
    assert Iqa.redecide(facts, moved, {"scores": one.scores}).outcome == "keep"


def test_a_metric_that_cannot_measure_is_an_error_and_no_zero() -> None:
    outcome = Iqa(Measure())._decide(row(40, 40), {"musiq": Score(None, "image_too_small")})
    assert outcome == Fail("iqa_not_measured", "musiq: image_too_small")


def test_iqa_without_metrics_is_refused() -> None:
    with pytest.raises(RecipeError, match="iqa=null"):
        Iqa()


def test_which_faces_count() -> None:
    faces = [face(0, 0, 40, 40), face(100, 0, 200, 100), face(300, 0, 350, 50)]
    assert [f.bbox[0] for f in prominent_faces(faces, 0.25)] == [100, 300]
    assert [f.bbox[0] for f in prominent_faces(faces, 0.16)] == [100, 300, 0]


def test_the_largest_of_several_is_kept_only_where_it_is_asked_for() -> None:
    one = row(400, 200, face(0, 0, 60, 60), identity="anna")
    one.columns[FOUND] = [face(0, 0, 60, 60), face(100, 0, 150, 50)]
    (outcome,) = run(People(keep="largest"), one)
    assert isinstance(outcome, Keep)
    assert one.scores["prominent_faces"] == 2
    assert "identity_mean" not in one.scores


def test_people_can_be_moved_where_there_was_a_choice() -> None:
    facts = {"keep": "most_alike", "min": 0.3}
    assert People.redecide(facts, {"min": 0.9}, {"scores": {"faces": 1.0}}).outcome == "keep"
    chosen = {"scores": {"identity_mean": 0.5}}
    assert People.redecide(facts, {"min": 0.4}, chosen).outcome == "keep"
    assert People.redecide(facts, {"min": 0.6}, chosen).reason == "other_person"
    nobody = {"scores": {}, "reason": "other_person"}
    assert People.redecide(facts, {"min": -1.0}, nobody).outcome == "drop"


def test_overlap() -> None:
    one = face(0, 0, 10, 10)
    assert overlap(one, one) == 1
    assert overlap(one, face(5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert overlap(one, face(20, 20, 30, 30)) == 0


def test_every_threshold_of_the_recipe_can_be_moved_afterwards() -> None:
    built = build(*load_recipe("gallery", NO_WEIGHTS))
    facts = {one["step"]: one for one in built.fingerprint["steps"]}
    movable = {
        f"{name}.{key}" for name, step in built.steps for key in type(step).thresholds(facts[name])
    }
    assert movable == {
        "min_size.short_side_px",
        "face_area.min",
        "sharpness.scene_min",
        "sharpness.face_min",
    }
    iqa = {key: {"min": 1.0} for key in ("musiq", "clipiqa", "maniqa")}
    assert set(Iqa.thresholds(iqa)) == {"musiq.min", "clipiqa.min", "maniqa.min"}
    assert set(People.thresholds({"keep": "most_alike", "min": 0.3})) == {"min"}


def test_the_recipe_is_what_the_steps_default_to() -> None:
    """Of values that both write down."""
    built = dict(build(*load_recipe("gallery", NO_WEIGHTS)).steps)
    for name in ("min_size", "square", "refine_face", "face_area", "sharpness"):
        assert built[name] == type(built[name])(), name
    assert set(built) <= set(STEPS)


def test_a_step_is_left_out_by_null() -> None:
    recipe, _ = load_recipe("gallery", ["iqa=null", "sharpness=null", "face_area.min=0.1"])
    names = [step.name for step in recipe.steps]
    assert "iqa" not in names
    assert "sharpness" not in names
    assert next(step for step in recipe.steps if step.name == "face_area").params == {"min": 0.1}
    with pytest.raises(RecipeError, match="no step 'iqqa'"):
        load_recipe("gallery", ["iqqa=null"])


def test_a_mistake_after_a_step_that_is_left_out_has_its_own_line(tmp_path: Any) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: a\nmakes: scenes\nsteps:\n- decode\n- iqa\n- face_area:\n    mni: 1\n")
    with pytest.raises(RecipeError, match=r"mine\.yaml:7"):
        build(*load_recipe(str(path), ["iqa=null"]))
