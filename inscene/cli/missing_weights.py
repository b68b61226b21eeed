"""What a plan says of the weights that are not here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inscene.weights.manifest import Weight


def print_missing(missing: Sequence[Weight]) -> None:
    """Each with its size and licence, the room that there is, and the command that fetches them."""
    from inscene.doctor.machine import free_disk_bytes
    from inscene.weights.folder import weights_folder
    from inscene.weights.sizes import in_words

    if not missing:
        print("weights: all here")
        return
    size = sum(weight.download_bytes for weight in missing)
    free = free_disk_bytes(weights_folder())
    short = "" if free > size else ": too little"
    print(
        f"weights missing: {len(missing)}, {in_words(size)} to download; {in_words(free)} free in "
        f"{weights_folder()}{short}"
    )
    wide = max(len(weight.name) for weight in missing)
    for weight in missing:
        gated = ", gated" if weight.gated else ""
        print(
            f"  {weight.name:<{wide}}  {in_words(weight.download_bytes or None):>7}  "
            f"{weight.licence.name}{gated}"
        )
    for weight in missing:
        if weight.gated:
            print(
                f"  Accept the licence at https://huggingface.co/{weight.repo}, then: hf auth login"
            )
    print(f"  Run: inscene weights pull {' '.join(weight.name for weight in missing)}")
