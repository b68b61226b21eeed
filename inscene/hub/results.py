"""Results of ``inscene bench`` as a dataset of their own.

Sent are the scores, a row each, and the board that they make. Not sent: restored images, thumbnails
of failures, vectors of images, and ``asked.json``, which has the place of the pairs here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from inscene.bench.leaderboard import Board, boards_of, render
from inscene.bench.results import Results, load_results
from inscene.bench.run import REFERENCE
from inscene.dataset.shards import parquet_options
from inscene.dataset.store import disk_errors_explained
from inscene.hub.card import size_category
from inscene.hub.card_body import table
from inscene.hub.facts import Model, models_in
from inscene.hub.package import DEFAULT, Package, Staged, StagedFile
from inscene.hub.patterns import redacted
from inscene.hub.refuse import check_file, check_texts
from inscene.hub.rules import Allowed, refused
from inscene.hub.statement import Statement, licence_keys
from inscene.recipe import canonical_json, content_hash
from inscene.schema import RESULTS

BOARD = "leaderboard.json"
SPLIT = "test"
_NOTHING = Allowed()


def results_package(
    locations: Sequence[str], folder: Path, statement: Statement, allow: Allowed = _NOTHING
) -> Package:
    """Stage the scores of some results folders below ``folder``: one file, the same bytes for the
    same scores. Raises :class:`UsageError` for no results, unfinished ones, and what must not be
    published."""
    found = [_without_places(one) for one in load_results(locations)]
    methods = [one for one in found if one.method != REFERENCE]
    boards = boards_of(found)
    rows = _rows(methods)
    file = _write(rows, folder)
    if error := refused(check_file(file.local, allow), where=", ".join(locations)):
        raise error
    staged = Staged(folder, RESULTS.name, (file,))
    board = redacted(json.loads(render(boards, "json")))
    texts = {BOARD: (json.dumps(board, indent=1, sort_keys=True) + "\n").encode()}
    card = results_card(methods, boards, rows.num_rows, statement).encode()
    if error := refused(check_texts({"README.md": card, **texts}), where=", ".join(locations)):
        raise error
    return Package(staged, card, texts, content=file.sha256, real_people=False)


def _without_places(results: Results) -> Results:
    """As another machine may see it: where the pairs were, and what was not found where, is of
    no use there."""
    plain: dict[str, Any] = {
        name: redacted(getattr(results, name)) for name in ("unavailable", "failures", "facts")
    }
    return replace(results, dataset=None, location="", **plain)


def _rows(methods: Sequence[Results]) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for one in methods:
        provenance = canonical_json({"recipe": content_hash(one.facts)})
        for row in one.frame.to_dict("records"):
            rows.append(
                {name: _value(row.get(name)) for name in RESULTS.schema.names}
                | {"split": SPLIT, "suite": one.suite, "method": _shown(one.method),
                   "provenance": provenance, "features": None, "device": None}
            )  # fmt: skip
    key = ("suite", *RESULTS.key)
    rows.sort(key=lambda row: [str(row[name]) for name in key])
    return pa.Table.from_pylist(rows, schema=RESULTS.schema)


def _value(value: Any) -> Any:
    """Pandas has NaN where a table has null."""
    return None if isinstance(value, float) and value != value else value


def _shown(name: str) -> str:
    return str(redacted(name))


def _write(rows: pa.Table, folder: Path) -> StagedFile:
    path = f"data/{SPLIT}-00000-of-00001.parquet"
    local = folder / path
    with disk_errors_explained(str(local)):
        local.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, local, **parquet_options(RESULTS))
    content = local.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return StagedFile(path, local, len(content), digest, rows.num_rows, SPLIT, DEFAULT)


# -- the card ----------------------------------------------------------------------------------


def results_card(
    methods: Sequence[Results], boards: Sequence[Board], rows: int, statement: Statement
) -> str:
    head: dict[str, Any] = dict(licence_keys(statement.licence)) if statement.licence else {}
    head |= {
        "pretty_name": statement.name,
        "annotations_creators": ["machine-generated"],
        "size_categories": [size_category(rows)],
        "tags": ["inscene", "image-restoration", "benchmark-results"],
        "configs": [
            {
                "config_name": DEFAULT,
                "data_files": [{"split": SPLIT, "path": f"data/{SPLIT}-*.parquet"}],
                "default": True,
            }
        ],
    }
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=10_000)
    models = models_in([one.facts for one in methods])
    return f"---\n{text}---\n\n{_body(methods, boards, rows, models, statement)}"


def _body(
    methods: Sequence[Results],
    boards: Sequence[Board],
    rows: int,
    models: Sequence[Model],
    statement: Statement,
) -> str:
    facts = redacted({f"{one.suite} {_shown(one.method)}": one.facts for one in methods})
    recipes = yaml.safe_dump(facts, sort_keys=True, allow_unicode=True).strip()
    listed = [
        [one.name, one.about, one.licence, ", ".join(d[:12] for d in one.files.values())]
        for one in models
    ]
    weights = table(["model", "", "licence", "SHA-256"], listed) if listed else "None."
    return (
        f"# {statement.name}\n\n{rows:,} scores of restoration methods, measured with InScene "
        f"builder: a row for each sample and metric.\n\n{render(boards, 'markdown').strip()}\n\n"
        "Means with 95 % intervals, drawn again by person where persons are known. `status` says "
        "why a score is missing.\n\n"
        f"## Weights of methods and metrics\n\n{weights}\n\n"
        "## Intended use and limits\n\nFor comparing methods on these suites. Scores of metrics "
        "are no judgement of a person, and a better score is not always a better face. Images are "
        "not part of this.\n\n"
        f"## If you are in it\n\nNames of samples may be yours: write to <{statement.contact}>.\n\n"
        "## How it was made\n\n<details><summary>What decided outputs and scores</summary>\n\n"
        f"````yaml\n{recipes}\n````\n\n</details>\n"
    )
