"""New results against old ones."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from made_results import made_results, with_features

from inscene.bench.leaderboard import Change, Comparability, Verdict, changes, render_changes
from inscene.bench.leaderboard.paired import holm, sign_flip_p
from inscene.errors import UsageError


def by_metric(found: list[Change]) -> dict[str, Change]:
    return {change.metric.key: change for change in found}


def test_a_small_loss_on_the_same_samples_is_found() -> None:
    old, new = made_results("a"), made_results("a", better=-0.05, seed=1)
    found = by_metric(changes([new], [old]))
    assert {change.verdict for change in found.values()} == {Verdict.worse}
    assert {change.judged_by for change in found.values()} == {Comparability.paired}
    text = render_changes(list(found.values()), "table")
    assert "4 regressions among 4" in text
    assert "WORSE" in text


def test_the_same_loss_on_other_samples_is_within_the_intervals() -> None:
    old, new = made_results("a"), made_results("a", better=-0.05, seed=1)
    other = replace(new, frame=new.frame.assign(sample_id="other " + new.frame["sample_id"]))
    found = by_metric(changes([other], [old]))
    assert {change.verdict for change in found.values()} == {Verdict.same}
    assert {change.judged_by for change in found.values()} == {Comparability.unpaired}
    worse = made_results("a", better=-2.0)
    other = replace(worse, frame=worse.frame.assign(sample_id="other " + worse.frame["sample_id"]))
    assert all(change.regression for change in changes([other], [old]))


def test_noise_below_the_displayed_precision_is_no_regression() -> None:
    old = made_results("a", metrics=("psnr",))
    new = replace(old, frame=old.frame.assign(value=old.frame["value"] - 1e-9))
    assert [change.verdict for change in changes([new], [old])] == [Verdict.same]


def test_gains_and_noise_are_no_regressions() -> None:
    old = made_results("a")
    assert {one.verdict for one in changes([made_results("a", better=0.2)], [old])} == {
        Verdict.better
    }
    again = changes([made_results("a", seed=5)], [old])
    assert sum(change.regression for change in again) <= 1


def test_lost_values_are_a_regression_and_missing_weights_are_not() -> None:
    old = made_results("a")
    lost = changes([made_results("a", failures={"out_of_memory": 2})], [old])
    assert {change.verdict for change in lost} == {Verdict.fewer_values}
    assert lost[0].detail == "120 → 118 samples"
    why = {"musiq": {"reason": "the weight 'musiq' is not here", "next_step": "Pull."}}
    without = made_results("a", metrics=("dists", "psnr", "ssim"), unavailable=why)
    musiq = by_metric(changes([without], [old]))["musiq"]
    assert (musiq.verdict, musiq.regression) == (Verdict.not_judged, False)


def test_a_method_that_fails_everywhere_now_is_a_regression() -> None:
    broken = made_results("a", failures={"out_of_memory": 120})
    found = changes([broken, made_results("b")], [made_results("a"), made_results("b")])
    of_a = [change for change in found if change.method == "a"]
    assert len(of_a) == 4
    assert all(change.regression for change in of_a)
    assert "120 → 0 samples" in render_changes(found, "table")


def test_fid_is_shown_and_not_judged() -> None:
    pytest.importorskip("inscene.quality.fid_distance")
    clean = with_features(made_results("reference"), 0.0)
    old, new = (with_features(made_results("a"), shift) for shift in (0.5, 1.5))
    fid = by_metric(changes([new, clean], [old, clean]))["fid"]
    assert fid.old is not None
    assert fid.new is not None
    assert fid.new > fid.old
    assert fid.verdict is Verdict.not_judged


def test_what_is_not_the_same_is_not_compared() -> None:
    old = made_results("a", weights={"musiq": "11" * 32})
    with pytest.raises(UsageError, match="weights is"):
        changes([made_results("a", weights={"musiq": "22" * 32})], [old])
    with pytest.raises(UsageError, match="no method on a suite in common"):
        changes([made_results("a", suite="other")], [old])
    facts = {"scores-1": {"steps": [
        {"step": "view", "of": "face"},
        {"step": "score", "version": 1, "metrics": {"psnr": {}}},
    ]}}  # fmt: skip
    with pytest.raises(UsageError, match="view is face and scene"):
        changes([replace(old, facts=facts)], [old])


def test_torch_may_differ() -> None:
    """Its version moves last digits, which the displayed precision hides."""
    old, new = made_results("a"), made_results("a")
    for results, version in ((old, "2.14"), (new, "2.15")):
        score = results.facts["scores-1"]["steps"][2]
        score["metrics"]["musiq"]["packages"] = {"torch": version, "pyiqa": "0.1.16"}
    assert not any(change.regression for change in changes([new], [old]))


def test_changes_for_programs() -> None:
    found = changes([made_results("a", better=-1.0)], [made_results("a")])
    document = json.loads(render_changes(found, "json", ["b on scenes: only in the old"]))
    assert {one["verdict"] for one in document["changes"]} == {"worse"}
    assert document["left_out"] == ["b on scenes: only in the old"]
    assert render_changes(found, "csv").splitlines()[0].startswith("suite,method,metric,old,new")
    for format_ in ("markdown", "latex", "html"):
        assert "only in the old" in render_changes(found, format_, ["b: only in the old"])


def test_sign_flips_are_exact_for_few_clusters() -> None:
    assert sign_flip_p(np.ones((5, 1))) == [2 / 2**5]
    assert sign_flip_p(np.array([[1.0], [-1.0]])) == [1.0]
    drawn = sign_flip_p(np.array([[1.0]] * 10 + [[-1.0]] * 5))[0]  # 15 clusters: by chance
    assert drawn == pytest.approx(2 * (1 + 15 + 105 + 455 + 1365 + 3003) / 2**15, abs=0.02)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_command_exits_with_5_on_a_regression(photo_folder, tmp_path, inscene) -> None:
    """A method that was better before: its outputs are the clean images, then blurred ones."""
    from PIL import Image, ImageFilter

    pairs, outputs = tmp_path / "pairs", tmp_path / "outputs"
    inscene("degrade", photo_folder, "--versions", "1", "--limit", "8", "--out", pairs)
    for run, radius in (("old", 1), ("new", 3)):
        for path in photo_folder.rglob("*.jpg"):
            to = outputs / path.relative_to(photo_folder).with_suffix(".png")
            to.parent.mkdir(parents=True, exist_ok=True)
            Image.open(path).filter(ImageFilter.GaussianBlur(radius)).save(to)
        inscene("bench", "--dataset", pairs, "--method", f"folder:{outputs}",
                "--metrics", "psnr,ssim", "--out", tmp_path / run)  # fmt: skip
    board = ["leaderboard", tmp_path / "new", "--against", tmp_path / "old"]
    done = inscene(*board, code=5)
    assert done.stdout.count("WORSE") == 2
    assert "2 of 2 got worse" in done.stderr
    inscene("leaderboard", tmp_path / "old", "--against", tmp_path / "new")
    inscene("leaderboard", tmp_path / "old", "--against", tmp_path / "old")
