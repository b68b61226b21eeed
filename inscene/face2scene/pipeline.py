"""Scenes and face pairs in, restored scenes out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from inscene.errors import UsageError
from inscene.face2scene import checkpoint, colour, guidance, hub_repo, lora, prompts, sizes
from inscene.face2scene.base import build_base, load_base, move, must_be_trainable
from inscene.face2scene.checkpoint import Parts
from inscene.face2scene.config import ColourFix, Face2SceneConfig, Tiling
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.families import Family, find_family
from inscene.face2scene.mapnet import MapNet
from inscene.face2scene.restorer import SceneRestorer
from inscene.face2scene.tokens import degradation_tokens


class Face2ScenePipeline:
    """A model that is ready to restore; also what training begins with and saves.

    ``pipeline(scenes, pairs)`` does all of it; see :meth:`__call__`.
    """

    def __init__(self, parts: Parts) -> None:
        self.config, self.prompts = parts.config, parts.prompts
        self.fadex, self.mapnet = parts.fadex, parts.mapnet
        self.restorer = SceneRestorer.of(parts.config, parts.vae, parts.unet)
        self._eval()

    @classmethod
    def from_family(
        cls,
        name: str,
        seed: int = 0,
        *,
        config: Face2SceneConfig | None = None,
        base: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """An untrained model, the same for the same seed. ``config``: in place of the family's own,
        e.g. with other ``token_scales``. ``base``: a folder in place of the verified weights.

        Raises ``UsageError`` for an unknown family, ``MissingWeightError`` where its base is not on
        this machine.
        """
        family = find_family(name)
        config = family.config if config is None else config
        if config.family != name:
            raise UsageError(f"the configuration is of the family {config.family}, not {name}")
        must_be_trainable(config)
        if config.base is None:
            built = build_base(family, seed, dtype)
            embeds = prompts.seeded(config.prompts, built.unet.config.cross_attention_dim)
        else:
            built = load_base(config, base, dtype)
            assert built.folder is not None
            embeds = prompts.encode(built.folder, config.prompts)
            if base is None:
                config = _with_revision(config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fadex, mapnet = _own_parts(family, config, built.unet.config.cross_attention_dim)
            if config.trainable == "lora":
                lora.add(built.unet, config.lora)
                lora.add(built.vae, config.lora)
        parts = Parts(config, built.vae, built.unet, fadex, mapnet, embeds)
        return cls(parts).to(dtype=dtype)

    @classmethod
    def from_pretrained(
        cls,
        folder_or_repo: str | Path,
        *,
        revision: str | None = None,
        base: Path | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        token: str | bool | None = None,
    ) -> Self:
        """Of a checkpoint's folder, of a repository ``OWNER/NAME`` that has one, or of
        ``face2scene-small``, which ships. ``dtype`` is what it computes with, whatever type the
        weights are stored as.

        Raises as :func:`inscene.face2scene.hub_repo.local_folder` and
        :func:`inscene.face2scene.checkpoint.load`.
        """
        folder = hub_repo.local_folder(folder_or_repo, revision=revision, token=token)
        return cls(checkpoint.load(folder, base=base, dtype=dtype)).to(device)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        training: Callable[[Path], None] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See :func:`inscene.face2scene.checkpoint.save`."""
        checkpoint.save(self.parts, Path(folder), training=training, dtype=dtype)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = True,
        revision: str | None = None,
        commit_message: str = "Face2Scene checkpoint",
        token: str | bool | None = None,
    ) -> str:
        """See :func:`inscene.face2scene.hub_repo.push`."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "checkpoint"
            self.save_pretrained(folder)
            return hub_repo.push(
                folder,
                repo_id,
                private=private,
                revision=revision,
                message=commit_message,
                token=token,
            )

    @property
    def parts(self) -> Parts:
        restorer = self.restorer
        return Parts(
            self.config, restorer.vae, restorer.unet, self.fadex, self.mapnet, self.prompts
        )

    @property
    def device(self) -> torch.device:
        return self.prompts.positive.device

    @property
    def dtype(self) -> torch.dtype:
        return self.prompts.positive.dtype

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """In place."""
        for module in (self.fadex, self.mapnet, self.restorer):
            move(module, device, dtype)
        self.prompts = self.prompts.to(device, dtype)
        return self

    def optimised(
        self,
        *,
        compile: bool = False,
        channels_last: bool = False,
        fuse_lora: bool = False,
        backend: str = "inductor",
    ) -> Self:
        """Faster inference, in place; what it computes differs by rounding.

        ``fuse_lora`` cannot be undone, and a model with fused adapters cannot be saved.
        ``channels_last``: the layout that GPUs' convolutions like. ``compile`` costs minutes at the
        first scene of each size; ``backend`` is torch.compile's.
        """
        unet, vae = self.restorer.unet, self.restorer.vae
        if fuse_lora:
            lora.fuse(unet)
            lora.fuse(vae)
        if channels_last:
            unet.to(memory_format=torch.channels_last)
            vae.to(memory_format=torch.channels_last)
        if compile:
            for module in (unet, vae.encoder, vae.decoder):
                module.compile(backend=backend)
        return self

    @torch.no_grad()
    def tokens(self, pairs: Sequence[FacePair | None]) -> list[Tensor | None]:
        """Of each pair T×d degradation tokens; None where there is no pair, or where the model is
        one without tokens."""
        self._eval()
        return [
            degradation_tokens(
                self.fadex, self.mapnet, [pair], self.config.faces, self.config.faces.max_side_px
            )[0]
            if pair is not None and self.config.token_scales
            else None
            for pair in pairs
        ]

    @torch.no_grad()
    def __call__(
        self,
        scenes: Sequence[Tensor] | Tensor,
        pairs: Sequence[FacePair | None],
        *,
        guidance_scale: float | None = None,
        colour_fix: ColourFix | None = None,
        upscale: float = 1,
        tiling: Tiling | None = None,
        batch_size: int = 1,
    ) -> list[Tensor]:
        """Restore scenes, 3×H×W each in [-1, 1], of any size. Returns 3×H'×W' float32 in [-1, 1],
        on the pipeline's device, H' and W' ``upscale`` times H and W.

        ``pairs`` has one entry a scene; a scene without a face has None and is restored with the
        text alone. ``upscale``: 4 in the paper's ×4 protocol, before restoration [S3Diff,
        inference_s3diff.py]; [chosen] 1, which is right for photos. ``guidance_scale``,
        ``colour_fix`` and ``tiling`` are the checkpoint's own where they are None. ``batch_size``:
        scenes of one size go through the networks together, up to so many.
        """
        scenes = list(scenes)
        self._check(scenes, pairs, upscale, batch_size)
        config = self.config
        scale = config.guidance.scale if guidance_scale is None else guidance_scale
        kind = config.colour_fix if colour_fix is None else colour_fix
        self._eval()
        tokens = self.tokens(pairs)
        results: dict[int, Tensor] = {}
        for indices in _batches(scenes, tokens, batch_size):
            lq = torch.stack([scenes[index].to(self.device, torch.float32) for index in indices])
            target = round(lq.shape[2] * upscale), round(lq.shape[3] * upscale)
            lq = sizes.resized(lq, target, config.enlarge).clamp(-1, 1)
            padded, size = sizes.pad(lq, config.pad_multiple_px)
            present = [token for index in indices if (token := tokens[index]) is not None]
            stacked = torch.stack(present) if present else None
            restored = self.restorer.restore(
                padded.to(self.dtype),
                self._context(self.prompts.positive, stacked, len(indices)),
                self._context(self.prompts.negative, stacked, len(indices)),
                guidance_scale=scale,
                tiling=config.tiling if tiling is None else tiling,
            )
            fixed = colour.fix(sizes.crop(restored, size).float(), lq, kind).clamp(-1, 1)
            results.update(zip(indices, fixed, strict=True))
        return [results[index] for index in range(len(scenes))]

    def _context(self, prompt: Tensor, tokens: Tensor | None, batch: int) -> Tensor:
        return guidance.context(prompt.expand(batch, -1, -1), tokens)

    def _check(
        self,
        scenes: list[Tensor],
        pairs: Sequence[FacePair | None],
        upscale: float,
        batch_size: int,
    ) -> None:
        if len(scenes) != len(pairs):
            raise ValueError(f"{len(scenes)} scenes and {len(pairs)} face pairs: None is an entry")
        for scene in scenes:
            if scene.ndim != 3 or scene.shape[0] != 3 or 0 in scene.shape:
                raise ValueError(f"a scene is 3×H×W, got {tuple(scene.shape)}")
            if not scene.is_floating_point():
                raise ValueError(f"a scene is of floats in [-1, 1], got {scene.dtype}")
            if min(round(side * upscale) for side in scene.shape[1:]) < 1:
                raise ValueError(f"nothing is left of {tuple(scene.shape)} at {upscale} times")
        if batch_size < 1:
            raise ValueError(f"batch_size is at least 1, got {batch_size}")

    def _eval(self) -> None:
        for module in (self.fadex, self.mapnet, self.restorer):
            module.eval()


def _batches(
    scenes: Sequence[Tensor], tokens: Sequence[Tensor | None], batch_size: int
) -> Iterator[list[int]]:
    """Indices of scenes of one size, all with tokens or all without."""
    alike: dict[tuple[torch.Size, bool], list[int]] = {}
    for index, (scene, token) in enumerate(zip(scenes, tokens, strict=True)):
        alike.setdefault((scene.shape, token is None), []).append(index)
    for indices in alike.values():
        for start in range(0, len(indices), batch_size):
            yield indices[start : start + batch_size]


def _own_parts(family: Family, config: Face2SceneConfig, context_dim: int) -> tuple[FaDeX, MapNet]:
    """Tokens are as wide as the UNet listens. A model without tokens has an idle MapNet, so that
    all models have the same parts."""
    scales = {"scales": config.token_scales} if config.token_scales else {}
    return FaDeX(**family.fadex), MapNet(**{**family.mapnet, "token_dim": context_dim, **scales})


def _with_revision(config: Face2SceneConfig) -> Face2SceneConfig:
    """Which revision of the base it is, since the weights that are here are that one."""
    from inscene.weights.manifest import load_manifest

    assert config.base is not None
    revision = load_manifest()[config.base.weight].revision
    if revision == "main":  # a branch, which says nothing
        return config
    base = config.base.model_copy(update={"revision": revision})
    return config.model_copy(update={"base": base})
