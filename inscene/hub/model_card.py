"""The card of a checkpoint with its scores, as the Hub's ``model-index`` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscene.bench.leaderboard import boards_of, render
from inscene.bench.results import load_results
from inscene.errors import UsageError
from inscene.hub.refuse import check_texts
from inscene.hub.rules import refused
from inscene.hub.statement import Statement, licence_keys
from inscene.quality.registry import find_metric
from inscene.suggest import did_you_mean

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from inscene.bench.leaderboard import Board


def checkpoint_card(
    checkpoint: Path,
    results: Sequence[str],
    statement: Statement,
    *,
    method: str | None = None,
) -> str:
    """``README.md`` of a model repository. ``method``: which line of the results is this
    checkpoint; needed where they have several. Raises :class:`UsageError`."""
    from huggingface_hub import ModelCardData

    from inscene.face2scene.document import read

    config, _ = read(checkpoint)
    boards = boards_of(load_results(results)) if results else []
    name = _line(boards, method) if boards else None
    facts: dict[str, Any] = dict(licence_keys(statement.licence)) if statement.licence else {}
    if config.base is not None:
        facts["base_model"] = config.base.repo
    data = ModelCardData(
        model_name=statement.name,
        pipeline_tag="image-to-image",
        tags=["inscene", "image-restoration", "face-restoration"],
        eval_results=evaluations(boards, name) if name else None,
        **facts,
    )
    text = f"---\n{data}\n---\n\n{_body(boards, statement, config.licences)}"
    if error := refused(check_texts({"README.md": text.encode()}), where=str(checkpoint)):
        raise error
    return text


def publish_checkpoint(
    checkpoint: Path,
    results: Sequence[str],
    statement: Statement,
    *,
    method: str | None = None,
    private: bool = True,
) -> str:
    """Upload a checkpoint, then its card; the card's commit. What is there already is not sent
    again, and makes no commit. A new repository is private until all of it is there; one that is
    public stays so."""
    from inscene.face2scene.hub_repo import push
    from inscene.hub.client import asked, connect

    card = checkpoint_card(checkpoint, results, statement, method=method).encode()
    api = connect()
    push(checkpoint, statement.repo)
    commit = asked(
        statement.repo,
        lambda: api.upload_file(
            path_or_fileobj=card,
            path_in_repo="README.md",
            repo_id=statement.repo,
            commit_message="Card",
        ),
    )
    if not private and asked(statement.repo, lambda: api.model_info(statement.repo)).private:
        asked(statement.repo, lambda: api.update_repo_settings(statement.repo, private=False))
    return str(commit.commit_url)


def evaluations(boards: Sequence[Board], method: str) -> list[EvalResult]:
    """A result for each suite and metric that the method has a mean of."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="image-to-image",
            task_name="Image restoration",
            dataset_type=board.suite,
            dataset_name=board.suite,
            metric_type=key,
            metric_name=find_metric(key).title,
            metric_value=round(cell.mean, 6),
        )
        for board in boards
        for line in board.lines
        if line.method == method
        for key, cell in line.cells.items()
        if cell.mean is not None
    ]


def _line(boards: Sequence[Board], method: str | None) -> str:
    known = list(dict.fromkeys(line.method for board in boards for line in board.lines))
    if method is None:
        if len(known) > 1:
            raise UsageError(
                f"the results have {len(known)} methods: {', '.join(known)}",
                next_step="Say which one is the checkpoint: --method NAME",
            )
        return known[0]
    if method not in known:
        raise UsageError(
            f"no results of {method!r}", where="--method", next_step=did_you_mean(method, known)
        )
    return method


def _body(boards: Sequence[Board], statement: Statement, licences: dict[str, str]) -> str:
    shown = render(boards, "markdown").strip() if boards else "None given."
    parts = "\n".join(f"- {part}: {licence}" for part, licence in sorted(licences.items()))
    terms = f"\n\n## Licences of the parts\n\n{parts}" if parts else ""
    return (
        f"# {statement.name}\n\nA restorer of scenes with people, trained with InScene builder.\n\n"
        f"```\ninscene restore PHOTOS --references PEOPLE --checkpoint {statement.repo} "
        "--out OUT\n```\n\n"
        f"## Results\n\n{shown}{terms}\n\n"
        "## Intended use and limits\n\nFor research on image restoration. What it puts into a face "
        "is a guess: **not** for identifying anybody, and not as evidence.\n\n"
        f"## Contact\n\n<{statement.contact}>\n"
    )
