"""Boards: means, intervals, marks, wins, people, what is missing; and every text format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from made_results import made_results, with_features

from inscene.bench.leaderboard import Format, boards_of, load_published, render
from inscene.bench.leaderboard.intervals import bootstrap_means
from inscene.bench.leaderboard.ranking import Mark, marks
from inscene.errors import UsageError

MISSING = {"musiq": {"reason": "the weight 'musiq' is not here", "next_step": ""}}
TEXT: tuple[Format, ...] = ("table", "markdown", "latex", "html")


def test_the_interval_is_that_of_clusters() -> None:
    """As wide as theory has it for means of clusters, not of samples."""
    (board,) = boards_of([made_results("a", people=60, each=10), made_results("b")])
    rows = made_results("a", people=60, each=10).frame.query("metric == 'psnr'")
    by_person = rows.groupby("identity")["value"].mean()
    wanted = 2 * 1.96 * by_person.std() / np.sqrt(60)
    interval = board.line("a").cells["psnr"].interval
    assert interval is not None
    assert interval.low < rows["value"].mean() < interval.high
    assert interval.high - interval.low == pytest.approx(wanted, rel=0.06)
    of_samples = 2 * 1.96 * rows["value"].std() / np.sqrt(len(rows))
    assert interval.high - interval.low > 2 * of_samples


def test_intervals_cover_the_true_mean_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(60, 400))
    intervals = bootstrap_means(draws, np.ones_like(draws))
    covered = np.mean([one is not None and one.low <= 0 <= one.high for one in intervals])
    assert 0.90 < covered < 0.985


def test_the_same_results_give_the_same_intervals_and_one_cluster_none() -> None:
    (one,) = boards_of([made_results("a")])
    (two,) = boards_of([made_results("a")])
    assert one.lines[0].cells == two.lines[0].cells
    (single,) = boards_of([made_results("a", people=1)])
    assert single.lines[0].cells["psnr"].interval is None
    assert "No intervals" in render([single], "table")
    few = render(boards_of([made_results("a", people=10)]), "table")
    assert "10 clusters (a person each)" in few
    assert "too narrow" in few


def test_without_identities_a_sample_is_a_cluster_with_all_its_versions() -> None:
    results = made_results("a", people=6)
    frame = results.frame.assign(identity=None)
    twice = [frame, frame.assign(version=1)]
    import pandas as pd

    (board,) = boards_of([replace(results, samples=48, frame=pd.concat(twice))])
    assert (board.clusters, board.clusters_are) == (24, "samples")


def test_best_and_second_share_marks_where_displays_are_equal() -> None:
    shown = {"a": "0.1000", "b": "0.1000", "c": "0.2000", "d": "0.3000"}
    assert marks(shown, False) == {"a": Mark.best, "b": Mark.best, "c": Mark.second}
    assert marks(shown, True) == {"d": Mark.best, "c": Mark.second}
    assert marks({"a": "1", "b": "2"}, True) == {"b": Mark.best}


def test_only_complete_means_are_ranked_and_the_rest_says_why() -> None:
    part = made_results("part", better=2.0, failures={"output_missing": 3})
    boards = boards_of([made_results("a"), made_results("b", better=0.5), part])
    (board,) = boards
    assert board.lines[0].method == "part"
    assert all(board.best(metric) == {"b"} for metric in board.metrics)
    for format_ in TEXT:
        text = render(boards, format_)
        assert "(n=117)" in text
        assert "part has no output: output" in text


@pytest.mark.parametrize("format_", TEXT)
def test_unavailable_metrics_say_what_to_do(format_: Format) -> None:
    keys = ("dists", "psnr")
    text = render(boards_of([made_results("a", metrics=keys, unavailable=MISSING)]), format_)
    assert "n/a" in text
    assert "is not here. Weights: inscene weights pull musiq" in text


@pytest.mark.parametrize("format_", [*TEXT, "csv", "json"])
def test_a_method_that_fails_everywhere_stays_on_the_board(format_: Format) -> None:
    none = made_results("none", failures={"output_missing": 120})
    boards = boards_of([made_results("a"), none], baseline="a")
    assert boards[0].lines[-1].method == "none"
    text = render(boards, format_)
    assert "none" in text
    if format_ in TEXT:
        assert "none has no output: output" in text


def test_statuses_of_samples_are_counted() -> None:
    results = made_results("a")
    frame = results.frame.copy()
    chosen = frame.query("metric == 'musiq'").index[:5]
    frame.loc[chosen, "value"] = np.nan
    frame.loc[chosen, "status"] = "too_small"
    text = render(boards_of([replace(results, frame=frame), made_results("b")]), "table")
    assert "MUSIQ has no value: too_small (5)." in text


def test_wins_and_paired_differences() -> None:
    results = [made_results("base"), made_results("same"), made_results("good", better=0.5)]
    (board,) = boards_of(results, baseline="base")
    good = board.line("good")
    won = board.wins(good)
    assert won is not None
    assert (str(won), board.significant_wins(good)) == ("4/4", 4)
    assert board.significant_wins(board.line("same")) == 0
    psnr = good.against_baseline["psnr"]
    assert psnr.difference == pytest.approx(1.0, abs=0.05)
    assert psnr.interval is not None
    # The people's characters cancel out: pairs tell what intervals of means cannot.
    mean = good.cells["psnr"].interval
    assert mean is not None
    assert psnr.interval.half_width < 0.2 * mean.half_width
    assert psnr.win_rate > 0.95
    assert good.against_baseline["dists"].difference < 0
    table = render([board], "table")
    assert "4/4" in table
    assert "4 significant" in table
    with pytest.raises(UsageError, match="bas"):
        boards_of(results, baseline="bas")


def test_a_board_for_each_person() -> None:
    results = [with_features(made_results("a", people=3), 1.0), made_results("b", people=3)]
    boards = boards_of(results, by="identity")
    assert [board.title for board in boards] == [f"scenes · person 0{i}" for i in range(3)]
    for board in boards:
        assert (board.samples, board.clusters) == (4, 4)
        assert "fid" not in {metric.key for metric in board.metrics}
    rows = list(csv.DictReader(io.StringIO(render(boards, "csv"))))
    assert {row["identity"] for row in rows} == {"person 00", "person 01", "person 02"}
    nameless = replace(results[0], frame=results[0].frame.assign(identity=None))
    with pytest.raises(UsageError, match="no identities"):
        boards_of([nameless], by="identity")


def test_fid_is_a_value_of_the_set_without_an_interval() -> None:
    pytest.importorskip("inscene.quality.fid_distance")
    clean = with_features(made_results("reference"), 0.0)
    near, far = with_features(made_results("near"), 0.5), with_features(made_results("far"), 2.0)
    (board,) = boards_of([near, far, clean])
    assert {line.method for line in board.lines} == {"near", "far"}
    cell = board.line("far").cells["fid"]
    assert cell.mean == pytest.approx(8 * 2.0**2, rel=1e-6)
    assert (cell.scored, cell.interval) == (120, None)
    fid = next(metric for metric in board.metrics if metric.key == "fid")
    assert board.best(fid) == {"near"}
    (alone,) = boards_of([near])
    assert alone.lines[0].cells["fid"].mean is None
    assert "no_reference_features (120)" in render([alone], "table")


def test_different_weights_are_not_one_board() -> None:
    old = made_results("a", weights={"musiq": "11" * 32})
    new = made_results("b", weights={"musiq": "22" * 32})
    with pytest.raises(UsageError, match="musiq of 'a' and 'b'"):
        boards_of([old, new])


def test_published_rows_are_told_apart_and_never_ranked() -> None:
    boards = boards_of([made_results("a", suite="inscene-real-val"),
                        made_results("b", suite="inscene-real-val", better=0.5)])  # fmt: skip
    published = load_published("table2")
    for format_ in TEXT:
        text = render(boards, format_, published=published)
        assert "published, not measured here" in text
        assert "InScene Real Validation" in text
        assert "InScene Synthetic Validation" not in text  # of another suite
        assert "16.8264" in text
    html = render(boards, "html", published=published)
    assert html.count('class="best"') == len(boards[0].metrics)
    rows = list(csv.DictReader(io.StringIO(render(boards, "csv", published=published))))
    assert {row["source"] for row in rows} == {"measured", "published"}


def test_json_is_unrounded_and_has_the_facts() -> None:
    boards = boards_of([made_results("a"), made_results("b")], baseline="a")
    document = json.loads(render(boards, "json"))
    assert document["schema"] == "inscene.bench/1"
    method = document["boards"][0]["methods"][0]
    line = boards[0].lines[0]
    assert method["scores"]["psnr"]["mean"] == line.cells["psnr"].mean
    assert method["facts"] == line.facts
    assert document["seed"]


def test_markdown_and_latex_take_any_name() -> None:
    name = r"folder:a|b*_<i>&%$#{}\^~[x]"
    boards = boards_of([made_results(name), made_results("b", better=1.0)])
    markdown = render(boards, "markdown")
    (line,) = [line for line in markdown.splitlines() if line.startswith("| folder")]
    assert line.replace("\\|", "").count("|") == 8
    assert "<i>" not in markdown
    latex = render(boards, "latex")
    assert r"folder:a\textbar{}b*\_\textless{}i\textgreater{}\&\%\$\#\{\}\textbackslash{}" in latex
    assert latex.count(r"\cellcolor{inscenebest}") == 4
    assert latex.count("{") == latex.count("}")
    for command in (r"\toprule", r"\midrule", r"\bottomrule", r"$\uparrow$", r"$\downarrow$"):
        assert command in latex


def test_an_oracle_is_not_ranked() -> None:
    """It looked at the clean images: its means stand last, without a mark and with the reason."""
    oracle = made_results("oracle", better=3.0)
    facts = oracle.facts | {"restored": {"steps": [{"step": "restore", "sees_clean": True}]}}
    results = [replace(oracle, facts=facts), made_results("a", better=1.0), made_results("b")]
    (board,) = boards_of(results)
    psnr = next(metric for metric in board.metrics if metric.key == "psnr")
    assert [line.method for line in board.lines] == ["a", "b", "oracle"]
    assert board.best(psnr) == {"a"}
    for kind in TEXT:
        assert "looked at the clean images" in render([board], kind)
    (fair,) = boards_of([oracle, *results[1:]])
    assert fair.best(psnr) == {"oracle"}
    assert fair.lines[0].method == "oracle"
