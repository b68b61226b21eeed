"""Shared operators: which of K operators serves which version of which image.

Contrastive training needs pairs of images with one degradation. The operators are drawn first and
then dealt out at random, so that each serves at least two different images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from inscene.errors import UsageError
from inscene.seeds import derive_key

Cell = tuple[str, int]
"""Image id and version."""


def default_size(images: int, versions: int) -> int:
    """As many operators as can serve two images each."""
    return images * versions // 2


def check(images: int, versions: int, operators: int) -> None:
    """Raise ``UsageError`` where so many operators cannot each serve two images."""
    most = default_size(images, versions) if images > 1 else 0
    if not 1 <= operators <= most:
        raise UsageError(
            f"{operators} operators cannot each serve two of {images} images",
            why=f"{images} images × {versions} versions make {images * versions} degradations.",
            next_step=f"Share at most {most} operators."
            if most
            else "Give at least two images, or leave out --operator-pool.",
        )


def deal(image_ids: Sequence[str], versions: int, operators: int, seed: int) -> dict[Cell, int]:
    """The number of the operator, 0 .. ``operators`` - 1, for each cell.

    Each serves equally many cells, give or take one, of at least two different images. It depends
    on the arguments alone, and not on the order of the ids. Raises ``UsageError`` where there are
    too few images for that.
    """
    check(len(image_ids), versions, operators)
    cells = [(name, version) for name in image_ids for version in range(versions)]
    key = derive_key("operator pool", seed)

    def place(cell: Cell) -> bytes:
        name, version = cell
        return hashlib.blake2b(f"{version}:{name}".encode(), key=key, digest_size=16).digest()

    cells.sort(key=place)
    served: list[list[Cell]] = [cells[number::operators] for number in range(operators)]
    _separate(served)
    return {cell: number for number, members in enumerate(served) for cell in members}


def _separate(served: list[list[Cell]]) -> None:
    """Swap cells until no operator serves one image only.

    A partner is always found: an image has at most half of all cells, so that where one operator
    has none but this image, another has at least two cells of other images.
    """
    for number, members in enumerate(served):
        if len({name for name, _ in members}) > 1:
            continue
        lonely = members[-1]
        for step in range(1, len(served)):
            partner = served[(number + step) % len(served)]
            if (index := _to_swap(partner, lonely[0])) is not None:
                members[-1], partner[index] = partner[index], lonely
                break
        else:
            raise AssertionError(f"no partner for operator {number}")


def _to_swap(members: list[Cell], image_id: str) -> int | None:
    """Which cell an operator can give away for one of this image, and still serve two images."""
    for index, (name, _) in enumerate(members):
        rest = {other for i, (other, _) in enumerate(members) if i != index}
        if name != image_id and len(rest | {image_id}) > 1:
            return index
    return None
