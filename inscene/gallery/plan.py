"""What a run of curation would do."""

from __future__ import annotations

from collections.abc import Sequence

from inscene.dataset.sources import Input
from inscene.engine import run as engine
from inscene.engine.registry import BuiltRecipe
from inscene.gallery.inputs import Rights, gallery_inputs, with_others
from inscene.gallery.needs import check_weights
from inscene.gallery.steps.people import People


def plan_gallery(
    built: BuiltRecipe,
    sources: Sequence[str],
    rights: Rights,
    out: str,
    limit: int | None = None,
    *,
    to_run: bool = True,
) -> engine.Plan:
    """Photos with what is said of them; those of one person know of each other where the recipe
    compares them. Raises ``UsageError``, and ``MissingWeightError`` for all weights at once; not
    for a plan that is only to be looked at."""
    if to_run:
        check_weights(built)
    compares = any(isinstance(s, People) and s.keep == "most_alike" for _, s in built.steps)

    def listing(places: Sequence[str], needs: Sequence[str]) -> list[Input]:
        found = gallery_inputs(places, needs, rights, limit)
        return with_others(found) if compares else found

    return engine.plan(built, sources, out, limit, listing=listing, to_run=to_run)
