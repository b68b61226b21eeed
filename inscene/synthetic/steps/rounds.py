"""Generates, judges and tries again, while the next image is already in the making.

Round r makes one image for each scene that has none yet, in the order of the scenes and in batches
of a fixed size; so which scenes share a batch depends on the scenes alone and on no clock. One
thread judges: the verdict on an image is asked for when its scene's turn comes again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from inscene.faces.align import ByteImage
from inscene.faces.identity import Embedding
from inscene.synthetic.judge import Verdict
from inscene.synthetic.tries import Try, best

Sample = Callable[[Sequence["Scene"], Sequence[int]], list[ByteImage]]
"""One image, (H, W, 3) uint8 RGB, for each scene with its seed."""
Look = Callable[[ByteImage, Embedding, str | None], Verdict]


@dataclass
class Scene:
    """What is wanted, and what has become of it."""

    job_id: str
    request: Any
    """What the generator needs to know beside the seed."""
    reference: Embedding
    """What the judge compares with."""
    shot: str | None = None
    tries: list[Try] = field(default_factory=list)
    image: ByteImage | None = None
    """The accepted one; until then, and if none is, the most alike."""
    verdict: Verdict | None = None
    """On that image."""

    @property
    def accepted(self) -> bool:
        return self.verdict is not None and self.verdict.reason is None

    def judged(self, seed: int, image: ByteImage, verdict: Verdict) -> bool:
        """Take note of a try; whether it is accepted."""
        self.tries.append(
            Try(len(self.tries), seed, verdict.similarity, verdict.reason, verdict.scores)
        )
        if verdict.reason is None or best(self.tries) is self.tries[-1]:
            self.image, self.verdict = image, verdict
        return self.accepted


def make_scenes(
    scenes: Sequence[Scene],
    sample: Sample,
    look: Look,
    seed_of: Callable[[str, int], int],
    *,
    tries: int,
    batch: int,
) -> None:
    """Up to ``tries`` images for each scene; ``seed_of`` gives a job's seed for an attempt. An
    exception of ``sample`` or ``look`` ends it."""
    with ThreadPoolExecutor(1, thread_name_prefix="judge") as judge:
        waiting: Iterator[Scene] = iter(scenes)
        for attempt in range(tries):
            verdicts: list[tuple[Scene, Future[bool]]] = []
            while chunk := list(itertools.islice(waiting, batch)):
                seeds = [seed_of(scene.job_id, attempt) for scene in chunk]
                images = sample(chunk, seeds)
                for scene, seed, image in zip(chunk, seeds, images, strict=True):
                    verdicts.append((scene, judge.submit(_judge, look, scene, seed, image)))
            waiting = (scene for scene, accepted in verdicts if not accepted.result())
        for _ in waiting:  # the last round's verdicts, and whatever the judge raised
            pass


def _judge(look: Look, scene: Scene, seed: int, image: ByteImage) -> bool:
    return scene.judged(seed, image, look(image, scene.reference, scene.shot))
