"""Four sentences: the person, the camera, the background, its surfaces.

1. shot, person, clothing, pose and place; footwear and ground where the whole body is asked for;
   the look. CLIP reads 77 tokens, so that what matters stands here.
2. camera and four phrases of focus.
3. two objects, light and weather.
4. a surface in detail: detail that is asked for in the background keeps it sharp [paper §6.1].

A prompt is a function of the root seed, the identity, the file and a number, and of the identity's
other prompts only where two would show the same scene.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from inscene.errors import UsageError
from inscene.recipe import content_hash
from inscene.seeds import Draws
from inscene.synthetic.prompts.gender import NEUTRAL, Subject
from inscene.synthetic.prompts.packs import Entry, Noun, Pack, Phrase, Words
from inscene.synthetic.prompts.wording import is_or_are, listed, phrase_said_twice, with_article

FRAMES = 1
"""Version of the sentences and of the order of draws: a change of either is a new number."""

Shot = Literal["full-body", "mid-up"]
"""The authors' two words for what is in the picture."""

_REDRAWS = 200
_FOCUS_PHRASES = 4  # [authors]
_FULL = "A full-body photograph of {who} in {clothing}, {pose}, seen from head to toe in {footing}"
_HALF = "A waist-up photograph of {who} in {clothing}, {pose}"
_BACKGROUNDS = (
    "The background shows {first} and {second}, {atmosphere}.",
    "Behind the {subject} there {verb} {first}, as well as {second}, {atmosphere}.",
    "Farther back, {first} and {second} come into view, {atmosphere}.",
)


@dataclass(frozen=True)
class Prompt:
    text: str
    slots: dict[str, str] = field(hash=False)
    """What was drawn, without articles; several picks of one slot are joined by "; "."""
    shot: Shot
    pack: str
    """That it is of; with ``cross_pack`` single slots may be of others."""
    grammar: str
    """:attr:`Grammar.version`."""

    @property
    def scene(self) -> tuple[str, ...]:
        """What makes two prompts show the same; the authors' four words [authors]."""
        return (self.shot, *(self.slots[slot] for slot in ("place", "objects", "atmosphere")))


@dataclass(frozen=True)
class Grammar:
    packs: tuple[Pack, ...]
    words: Words
    full_body_ratio: float = 1.0
    """Share of full-body prompts. 1 [paper]; 0.5 gives the authors' mix."""
    cross_pack: float = 0.0
    """Probability with which a slot is filled from another pack. 0 [chosen]: mixed scenes
    contradict themselves."""

    def __post_init__(self) -> None:
        for name in ("full_body_ratio", "cross_pack"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}", why="It lies in 0..1.")
        if not self.packs:
            raise UsageError("a grammar needs at least one scene pack")

    @functools.cached_property
    def version(self) -> str:
        """Changes when any prompt may: with the frames, a word, a weight, a ratio."""
        words = [[pack.model_dump() for pack in self.packs], self.words.model_dump()]
        ratios = [float(self.full_body_ratio), float(self.cross_pack)]
        return f"{FRAMES}-{content_hash([*words, *ratios])[:12]}"

    def prompts(
        self,
        seed: int,
        identity: str,
        wanted: Iterable[tuple[str, int]],
        subject: Subject = NEUTRAL,
    ) -> dict[tuple[str, int], Prompt]:
        """The prompts of one identity, each with a scene of its own.

        ``wanted`` are (file id, number) pairs; their order is of no matter. A prompt is drawn by
        the file's name without its ending, so that a converted collection gives the same.
        Raises :class:`UsageError` where the packs hold too few scenes.
        """
        found: dict[tuple[str, int], Prompt] = {}
        scenes: set[tuple[str, ...]] = set()
        for file_id, number in sorted(set(wanted)):
            stem = posixpath.splitext(file_id)[0]
            prompt = self._new(Draws(_KEY, FRAMES, seed, identity, stem, number), subject, scenes)
            if prompt is None:
                raise UsageError(
                    f"the scene packs give {identity!r} no prompt after the first {len(found)}",
                    why=f"{_REDRAWS} draws in a row repeated a scene, or a phrase in themselves.",
                    next_step="Add places, objects and lights to the packs, or ask for fewer.",
                )
            scenes.add(prompt.scene)
            found[file_id, number] = prompt
        return found

    def _new(self, draws: Draws, subject: Subject, scenes: set[tuple[str, ...]]) -> Prompt | None:
        for redraw in range(_REDRAWS):
            prompt = self._draw(draws, f"{redraw}/", subject)
            if prompt.scene not in scenes and phrase_said_twice(prompt.text) is None:
                return prompt
        return None

    def _draw(self, draws: Draws, prefix: str, subject: Subject) -> Prompt:
        home = _pick(draws, f"{prefix}pack", self.packs)

        def pack_for(slot: str) -> Pack:
            if self.cross_pack and draws.coin(f"{prefix}{slot}.cross", self.cross_pack):
                others = [pack for pack in self.packs if pack is not home]
                return _pick(draws, f"{prefix}{slot}.pack", others) if others else home
            return home

        def one(slot: str, entries: Sequence[Entry]) -> Entry:
            return _pick(draws, prefix + slot, entries)

        full = draws.coin(f"{prefix}shot", self.full_body_ratio)
        place = one("place", home.place)  # where they are is what makes a pack: never crossed
        clothing = one("clothing", pack_for("clothing").clothing)
        pose = one("pose", pack_for("pose").pose)
        footing = one("footing", pack_for("footing").footing) if full else None
        gaze = one("gaze", self.words.gaze)
        camera = one("camera", self.words.camera)
        focus = _pick_several(draws, f"{prefix}focus", self.words.focus, _FOCUS_PHRASES)
        objects = _pick_several(draws, f"{prefix}objects", pack_for("objects").objects, 2)
        atmosphere = one("atmosphere", pack_for("atmosphere").atmosphere)
        surface = one("surface", pack_for("surface").surface)
        finish = one("finish", self.words.finish)

        person = (_FULL if full else _HALF).format(
            who=with_article(subject),
            clothing=with_article(clothing.text, clothing.number),
            pose=pose.text.replace("{place}", place.text),
            footing=with_article(footing.text, footing.number) if footing else "",
        )
        background = draws.choice(f"{prefix}background", _BACKGROUNDS).format(
            first=with_article(objects[0].text, objects[0].number),
            second=with_article(objects[1].text, objects[1].number),
            verb=is_or_are(objects[0].number),
            subject=subject,
            atmosphere=atmosphere.text,
        )
        sentences = (
            f"{person}, {gaze.text}.",
            f"Taken as a tall picture {camera.text}: {listed([phrase.text for phrase in focus])}.",
            background,
            f"The {surface.text} {is_or_are(surface.number)} {finish.text}.",
        )
        slots = {
            "subject": subject,
            "clothing": clothing.text,
            "pose": pose.text.replace(" {place}", "").replace("{place}, ", ""),
            "place": place.text,
            **({"footing": footing.text} if footing else {}),
            "gaze": gaze.text,
            "camera": camera.text,
            "focus": "; ".join(phrase.text for phrase in focus),
            "objects": "; ".join(sorted(noun.text for noun in objects)),
            "atmosphere": atmosphere.text,
            "surface": surface.text,
            "finish": finish.text,
        }
        shot: Shot = "full-body" if full else "mid-up"
        return Prompt(" ".join(sentences), slots, shot, home.name, self.version)


_KEY = "synthetic prompt"
_Weighted = TypeVar("_Weighted", Pack, Phrase, Noun)


def _pick(draws: Draws, name: str, entries: Sequence[_Weighted]) -> _Weighted:
    return draws.choice(name, entries, [entry.weight for entry in entries])


def _pick_several(draws: Draws, name: str, entries: Sequence[Entry], count: int) -> list[Entry]:
    """Different ones, in the order of the draws."""
    left, weights = list(entries), [entry.weight for entry in entries]
    picked = []
    for number in range(count):
        at = draws.choice(f"{name}.{number}", range(len(left)), weights)
        picked.append(left.pop(at))
        del weights[at]
    return picked
