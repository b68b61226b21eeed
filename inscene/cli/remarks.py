"""What methods say of their outputs, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from inscene.cli.console import print_json, print_summary

if TYPE_CHECKING:
    from inscene.engine.run import Summary

NOTES = {
    "embedded_checkpoint": "by face2scene-small, which is for trying out (--checkpoint)",
    "no_face": "no face was found",
    "no_references": "no photographs of the person (--references)",
    "text_tokens_only": "restored without degradation tokens",
    "face_without_pixels": "the face lies outside the image",
    "landmarks_unusable": "the landmarks fit no face",
    "saw_clean_face": "an oracle: the clean face was looked at",
}
"""What the words mean."""


def print_restored(summaries: Sequence[Summary], as_json: bool, *, as_list: bool = False) -> None:
    """Of runs that restored a dataset each: the counts, the notes, and the stages' times."""
    from inscene.bench.remarks import remarks_of

    remarks = [remarks_of(summary.out) for summary in summaries]
    if as_json:
        facts = [asdict(one) | asdict(said) for one, said in zip(summaries, remarks, strict=True)]
        print_json(facts if as_list else facts[0])
        return
    for summary, said in zip(summaries, remarks, strict=True):
        print_summary(summary, as_json=False)
        print_notes(said.notes)
        if said.stage_s:
            stages = (f"{stage} {seconds:.3g} s" for stage, seconds in said.stage_s.items())
            print(f"  stages, median: {', '.join(stages)}")


def print_notes(notes: Mapping[str, int]) -> None:
    """The most frequent first."""
    for note, count in sorted(notes.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {count:>6}  {note}: {NOTES.get(note, '')}".rstrip(": "))
