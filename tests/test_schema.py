"""The schemas are what the Hub's own library would write."""

from __future__ import annotations

import pytest

from inscene.schema import DROPS, KINDS, TableKind


@pytest.mark.filterwarnings("ignore")  # datasets' own
@pytest.mark.parametrize("kind", [*KINDS.values(), DROPS], ids=lambda kind: kind.name)
def test_datasets_reads_images_as_images(kind: TableKind) -> None:
    import datasets

    features = datasets.Features.from_arrow_schema(kind.schema)
    images = {name for name, feature in features.items() if isinstance(feature, datasets.Image)}
    assert images == set(kind.image_columns)
    assert features.arrow_schema.remove_metadata() == kind.schema.remove_metadata()


@pytest.mark.parametrize("kind", [*KINDS.values(), DROPS], ids=lambda kind: kind.name)
def test_keys_and_repeated_images_are_columns(kind: TableKind) -> None:
    assert set(kind.key) <= set(kind.hashed_columns)
    assert set(kind.repeated_images) <= set(kind.image_columns)
    assert all(column.meaning for column in kind.columns)
