"""The judge, with models in the official layout that see white squares as faces."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painted_scenes import Painter
from tiny_weights.insightface_packs import paint_face

from inscene import images
from inscene.errors import RecipeError, SampleError
from inscene.faces.face import Face
from inscene.synthetic.gates import Gates, measure
from inscene.synthetic.generate.request import Request
from inscene.synthetic.judge import IdentityRule, Judge, decide
from inscene.synthetic.tries import Try, best, main_reason, try_of_column

pytestmark = [
    pytest.mark.usefixtures("judging_weights"),
]

OFF = Gates()
SHOWS_SOMEBODY = 1  # a seed of which the painter makes a scene with a face


def portrait(shade: int = 30) -> np.ndarray:
    photo = np.full((256, 256, 3), 15, np.uint8)
    paint_face(photo, 128, 128, 64)
    photo[118:138, 108:148] = 255 - shade
    return photo


def judge(least: float = 0.55, gates: Gates = OFF) -> Judge:
    return Judge(IdentityRule(min=least, sizes_px=(256,)), gates)


def scene(seed: int) -> np.ndarray:
    request = Request("a walk", images.encode_png(portrait()), seed, 192, 256)
    (image,) = Painter().generate([request])
    return image


class TestJudge:
    def test_the_threshold_itself_is_accepted(self) -> None:
        reference = judge().reference("a", portrait())
        similarity = judge(-1)(scene(SHOWS_SOMEBODY), reference, None).similarity
        assert similarity is not None
        assert 0 < similarity < 1
        assert judge(similarity)(scene(SHOWS_SOMEBODY), reference, None).reason is None
        above = judge(math.nextafter(similarity, 1))(scene(SHOWS_SOMEBODY), reference, None)
        assert (above.reason, above.similarity) == ("unlike_reference", similarity)

    def test_a_photo_is_like_itself(self) -> None:
        one = judge(0.999)
        verdict = one(portrait(), one.reference("a", portrait()), None)
        assert verdict.reason is None
        assert verdict.similarity == pytest.approx(1, abs=1e-6)
        assert verdict.scores["faces"] == 1
        assert verdict.face is not None

    def test_nobody_in_the_image(self) -> None:
        one = judge(-1)
        nobody = np.full((256, 192, 3), 30, np.uint8)
        verdict = one(nobody, one.reference("a", portrait()), None)
        assert (verdict.reason, verdict.similarity) == ("no_face_generated", None)
        assert verdict.scores == {"faces": 0.0}

    def test_nobody_in_the_reference(self) -> None:
        with pytest.raises(SampleError, match="no_face_in_reference"):
            judge().reference("a", np.full((256, 256, 3), 30, np.uint8))

    def test_a_reference_is_embedded_once(self) -> None:
        one = judge()
        assert one.reference("a", portrait(0)) is one.reference("a", portrait(90))
        assert not np.array_equal(one.reference("a", portrait()), one.reference("b", portrait(90)))

    def test_the_largest_face_is_judged(self) -> None:
        one = judge(0.999)
        reference = one.reference("a", portrait())
        both = np.full((384, 512, 3), 15, np.uint8)
        both[:256, :256] = portrait()
        paint_face(both, 384, 256, 128)
        wide = Judge(IdentityRule(min=-1, sizes_px=(512,)), OFF)
        verdict = wide(both, reference, None)
        assert verdict.scores["faces"] == 2
        assert verdict.scores["prominent_faces"] == 2
        assert verdict.face is not None
        assert verdict.face.bbox[2] - verdict.face.bbox[0] == pytest.approx(128, abs=8)

    def test_a_recogniser_without_a_published_threshold_needs_one(self) -> None:
        with pytest.raises(RecipeError, match="nobody has published"):
            IdentityRule(embedder="glintr100")
        assert IdentityRule(embedder="glintr100", min=0.4).least == 0.4
        assert IdentityRule().least == 0.55
        assert IdentityRule(min="none").least == -1

    def test_what_decides_is_in_the_fingerprint(self) -> None:
        facts = IdentityRule().fingerprint()
        assert facts["min"] == 0.55
        assert len(facts["weights"]) == len(facts["detector"]["weights"]) == 64
        assert IdentityRule().weights == ("buffalo_l",)


def face(height_px: float = 60, x: float = 90, y: float = 40) -> Face:
    points = np.array([[0, 0], [10, 0], [5, 5], [0, 10], [10, 10]], float) + np.array([x, y])
    return Face((x, y, x + height_px * 0.75, y + height_px), 0.9, points)


class TestGates:
    image = np.random.default_rng(1).integers(0, 255, (400, 300, 3), dtype=np.uint8)

    def test_all_are_off_by_default(self) -> None:
        tiny = measure(self.image, [face(4), face(4, 10)])
        assert OFF.refuses(tiny, "full-body") is None

    def test_a_small_face(self) -> None:
        scores = measure(self.image, [face(48)])
        assert Gates(face_height_px=48).refuses(scores, None) is None
        assert Gates(face_height_px=48.5).refuses(scores, None) == "face_too_small"

    def test_a_second_face_counts_from_half_the_height_on(self) -> None:
        gate = Gates(one_face=True)
        assert gate.refuses(measure(self.image, [face(80), face(39, 10)]), None) is None
        two = measure(self.image, [face(80), face(41, 10)])
        assert gate.refuses(two, None) == "several_faces"

    def test_full_body_is_asked_of_full_body_shots_only(self) -> None:
        gate = Gates(full_body=0.25)
        close = measure(self.image, [face(101)])
        assert gate.refuses(close, "full-body") == "not_full_body"
        assert gate.refuses(close, "mid-up") is None
        assert gate.refuses(measure(self.image, [face(100)]), "full-body") is None

    def test_a_blurred_background(self) -> None:
        sharp = measure(self.image, [face()])["background_laplacian_var"]
        blurred = measure(cv2.GaussianBlur(self.image, (0, 0), 3), [face()])
        assert blurred["background_laplacian_var"] < sharp / 50
        gate = Gates(background_laplacian_var=sharp / 10)
        assert gate.refuses(measure(self.image, [face()]), None) is None
        assert gate.refuses(blurred, None) == "background_blurred"

    def test_only_the_background_counts(self) -> None:
        """A sharp person before a smooth wall."""
        person = np.full_like(self.image, 128)
        person[40:, 90:130] = self.image[40:, 90:130]
        assert measure(person, [face()])["background_laplacian_var"] == 0

    def test_a_close_up_has_no_background(self) -> None:
        scores = measure(self.image, [face(380, 5, 5)])
        assert "background_laplacian_var" not in scores
        assert Gates(background_laplacian_var=1).refuses(scores, None) == "no_background"
        assert OFF.refuses(scores, None) is None


class TestTries:
    @given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=12))
    def test_the_main_reason_is_the_most_frequent_then_the_latest(self, reasons) -> None:
        tries = [Try(index, 0, None, reason) for index, reason in enumerate(reasons)]
        most = max(map(reasons.count, reasons))
        often = {reason for reason in reasons if reasons.count(reason) == most}
        latest = next(reason for reason in reversed(reasons) if reason in often)
        assert main_reason(tries) == latest

    def test_the_most_alike_is_best_and_a_face_beats_none(self) -> None:
        tries = [
            Try(0, 0, None, "x"),
            Try(1, 0, -0.5, "x"),
            Try(2, 0, 0.3, "x"),
            Try(3, 0, 0.3, "x"),
        ]
        assert best(tries).attempt == 2
        assert best(tries[:2]).attempt == 1

    def test_a_try_reads_back_from_its_column(self) -> None:
        one = Try(3, 2**62, 0.25, "unlike_reference", {"faces": 1.0})
        assert try_of_column(one.as_column()) == one

    @given(st.floats(-1, 1), st.floats(-1, 1))
    def test_the_decision_is_the_same_whoever_asks(self, similarity, least) -> None:
        reason = decide(similarity, {}, None, least, OFF)
        assert (reason is None) == (similarity >= least)
        assert decide(None, {}, None, least, OFF) == "no_face_generated"
