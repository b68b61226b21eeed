"""``generate``: a scene of the person in a reference photo, tried again until it shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from inscene import images
from inscene.engine.rows import Call, Drop, Fail, Keep, Outcome, Row
from inscene.engine.step import Redecision, Step, StepContext, Threshold
from inscene.errors import SampleError
from inscene.faces.align import ByteImage
from inscene.faces.columns import store_face
from inscene.faces.embedders.choice import EMBEDDERS, Least
from inscene.recipe import canonical_json
from inscene.synthetic.gates import Gates, Positive, Share
from inscene.synthetic.generate.identity import DETECTOR, EMBEDDER, IdTokenSettings
from inscene.synthetic.generate.request import HEIGHT_PX, MULTIPLE_PX, WIDTH_PX, Generator, Request
from inscene.synthetic.generate.settings import (
    FLUX,
    INFINITE_YOU,
    LORA,
    FluxSettings,
    MemoryMode,
)
from inscene.synthetic.jobs import seed_of
from inscene.synthetic.judge import IdentityRule, Judge, decide
from inscene.synthetic.steps.rounds import Scene, make_scenes
from inscene.synthetic.tries import main_reason, try_of_column

Side = Annotated[int, Field(ge=MULTIPLE_PX, multiple_of=MULTIPLE_PX)]
Tries = Annotated[int, Field(ge=1, le=1000)]

MORE_TRIES = "it would have needed more tries than were made"


@dataclass(frozen=True)
class Sampling(FluxSettings):
    """As a recipe writes it."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Generate(Step):
    """Sample a scene for each job, judge it against the reference photo that it was made from, and
    try again with the job's next seed where it is rejected. A job that no try was good enough for
    is dropped with its tries; every seed and similarity is kept."""

    generator: Sampling = field(default_factory=Sampling)
    """FLUX.1 [dev] with InfuseNet."""
    identity: IdentityRule = field(default_factory=IdentityRule)
    gates: Gates = field(default_factory=Gates)
    width_px: Side = WIDTH_PX
    height_px: Side = HEIGHT_PX
    face_layout_px: Positive | None = None
    """Height of a face that is drawn into the control image, to ask for distant people; None: the
    control image is black, as the authors had it."""
    tries: Tries = 10
    """Images at most, for one job (the authors' script)."""
    batch: Annotated[int, Field(ge=1, le=64)] = 1
    """Images that are sampled at once. 1 gives the same bits whatever else is in work, and FLUX at
    this size keeps a GPU busy with one; more differ by rounding."""
    memory: MemoryMode = "two-phase"
    """How the models share a GPU's memory; but for quant, no image depends on it."""
    device: Literal["auto", "cpu"] = "auto"
    """auto: a GPU where there is one."""

    @property
    def on_gpu(self) -> bool:
        return self.device == "auto"

    def open_generator(self) -> Generator:
        """Raises ``MachineError`` for weights, packages or memory that are not here."""
        from inscene.synthetic.generate.flux import FluxGenerator

        device = None if self.device == "auto" else self.device
        return FluxGenerator(self.generator, memory=self.memory, device=device)

    def generator_facts(self) -> dict[str, Any]:
        """All that decides its images beside the requests; no model is loaded for it."""
        from inscene.synthetic.generate.fingerprint import flux_fingerprint

        return flux_fingerprint(self.generator, self.memory, IdTokenSettings())

    @property
    def weights(self) -> tuple[str, ...]:
        """All that it needs, by their names in ``manifests/weights.yaml``."""
        names = [FLUX, INFINITE_YOU, *((LORA[0],) if self.generator.lora_scale else ())]
        names += [DETECTOR.place[0], EMBEDDERS[EMBEDDER].weight, *self.identity.weights]
        return tuple(dict.fromkeys(names))

    def fingerprint(self) -> dict[str, Any]:
        return {
            "generator": self.generator_facts(),
            "identity": self.identity.fingerprint(),
            "gates": asdict(self.gates),
            "width_px": self.width_px,
            "height_px": self.height_px,
            "face_layout_px": self.face_layout_px,
            "tries": self.tries,
            "batch": self.batch,
        }

    def setup(self, context: StepContext) -> Call:
        facts = canonical_json(self.generator_facts())
        judge = Judge(self.identity, self.gates)
        generator = self.open_generator()

        def sample(scenes: Sequence[Scene], seeds: Sequence[int]) -> list[ByteImage]:
            wanted = zip(scenes, seeds, strict=True)
            return generator.generate([replace(one.request, seed=seed) for one, seed in wanted])

        def seed(job_id: str, attempt: int) -> int:
            return seed_of(context.seed, job_id, attempt)

        def generate(rows: Sequence[Row]) -> list[Outcome]:
            scenes = [self._scene(row, judge) for row in rows]
            good = [scene for scene in scenes if isinstance(scene, Scene)]
            impossible = generator.prepare([scene.request for scene in good])
            refused = dict(zip(map(id, good), impossible, strict=True))
            possible = [scene for scene in good if refused[id(scene)] is None]
            make_scenes(possible, sample, judge, seed, tries=self.tries, batch=self.batch)
            return [
                self._outcome(row, scene, refused.get(id(scene)), judge, facts)
                for row, scene in zip(rows, scenes, strict=True)
            ]

        return generate

    def _scene(self, row: Row, judge: Judge) -> Scene | SampleError:
        """What the row asks for, or why nothing can be made for it."""
        columns = row.columns
        job_id, prompt = columns.get("job_id"), columns.get("prompt") or ""
        if job_id is None or not prompt.strip():
            return SampleError("no_job", "inscene build synthetic plans what is to be generated")
        data = columns["image"]["bytes"]
        try:
            pixels = images.decode(data).pixels
            reference = judge.reference(hashlib.sha256(data).hexdigest(), pixels)
        except SampleError as error:
            return error
        request = Request(
            prompt,
            data,
            seed=0,
            width=self.width_px,
            height=self.height_px,
            control_image=self._control_image(),
        )
        return Scene(job_id, request, reference, columns.get("shot"))

    def _control_image(self) -> ByteImage | None:
        if self.face_layout_px is None:
            return None
        from inscene.synthetic.generate.control_image import face_layout

        return face_layout(self.width_px, self.height_px, face_height_px=self.face_layout_px)

    def _outcome(
        self,
        row: Row,
        scene: Scene | SampleError,
        impossible: SampleError | None,
        judge: Judge,
        facts: str,
    ) -> Outcome:
        error = scene if isinstance(scene, SampleError) else impossible
        if error is not None:
            return Fail(error.reason, error.detail)
        assert isinstance(scene, Scene)
        assert scene.image is not None
        assert scene.verdict is not None
        row.pixels = np.asarray(scene.image, np.uint8)
        row.columns["tries"] = [one.as_column() for one in scene.tries]
        row.scores.update(scene.verdict.scores)
        if not scene.accepted:
            return Drop(main_reason(scene.tries), self._why(scene))
        _describe(row, scene, judge.model, facts)
        return Keep((row,))

    def _why(self, scene: Scene) -> str:
        assert scene.verdict is not None
        alike = scene.verdict.similarity
        found = "no face" if alike is None else f"the most alike {alike:.3f}"
        return f"{len(scene.tries)} tries, {found}; {self.identity.least:g} is needed"

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        types = {
            "face_height_px": Positive | None,
            "one_face": bool,
            "background_laplacian_var": Positive | None,
            "full_body": Share | None,
        }
        gates = {f"gates.{name}": Threshold(facts["gates"][name], types[name]) for name in types}
        return {
            "identity.min": Threshold(facts["identity"]["min"], Least),
            "tries": Threshold(facts["tries"], Tries),
            **gates,
        }

    @classmethod
    def redecide(
        cls, facts: Mapping[str, Any], changed: Mapping[str, Any], row: Mapping[str, Any]
    ) -> Redecision:
        """The first of the stored tries that would pass is the one that would have been kept."""
        if not row.get("tries"):
            return Redecision("unknown", "its tries are not stored")
        embedder = EMBEDDERS[facts["identity"]["embedder"]]
        least = embedder.least(changed.get("identity.min", facts["identity"]["min"]))
        moved = {key.removeprefix("gates."): changed[key] for key in changed if "gates." in key}
        gates = Gates(**{**facts["gates"], **moved})
        most = changed.get("tries", facts["tries"])
        again = []
        for one in map(try_of_column, row["tries"][:most]):
            reason = decide(one.similarity, one.scores, row.get("shot"), least, gates)
            if reason is None:
                return Redecision("keep", other_image=one.reason is not None)
            again.append(replace(one, reason=one.reason if one.similarity is None else reason))
        if len(again) < most:
            return Redecision("unknown", MORE_TRIES)
        return Redecision("drop", main_reason(again))


def _describe(row: Row, scene: Scene, model: str, facts: str) -> None:
    """The columns of an accepted scene; ``facts`` are the generator's."""
    verdict, columns, taken = scene.verdict, row.columns, scene.tries[-1]
    assert verdict is not None
    assert verdict.face is not None
    assert row.pixels is not None
    store_face(columns, verdict.face)
    height, width = row.pixels.shape[:2]
    name = columns["sample_id"].rpartition("/")[2]
    columns.update(
        # The file that was read is the reference: nothing of it goes into the dataset.
        image={"bytes": None, "path": f"{name}.png"},
        sha256=None,
        width=width,
        height=height,
        seed=taken.seed,
        attempt=taken.attempt,
        identity_score=verdict.similarity,
        identity_model=model,
        generator=facts,
    )
