"""One contrastive step of FaDeX: who follows whom, and in which order."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from inscene.face2scene.contrastive import info_nce
from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.momentum import MomentumEncoder, Queue
from inscene.face2scene.stage_one import (
    StageOne,
    StageOneBatch,
    StageOneSettings,
    fadex_optimiser,
)
from inscene.face2scene.updates import NonFiniteLossError

OPERATORS = torch.tensor([0, 0, 1, 1, 2, 2])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(seed: int = 0, operators: Tensor = OPERATORS) -> StageOneBatch:
    """Images of their own, each made noisier by its operator."""
    count = len(operators)
    views = []
    for view in range(2):
        rng = seeded(10 * seed + view)
        hq = torch.rand((count, 3, 1, 1), generator=rng).expand(-1, -1, 12, 12) * 2 - 1
        noise = torch.randn((count, 3, 12, 12), generator=rng)
        views += [hq, hq + 0.3 * operators.view(-1, 1, 1, 1) * noise]
    return StageOneBatch(*views, operators)


def made(**options: float) -> StageOne:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = FaDeX((8, 8, 8, 8, 8, 8), embedding_dim=8)
    configured = StageOneSettings(**options)  # type: ignore[arg-type]
    return StageOne(
        encoder.train(),
        MomentumEncoder(encoder, momentum=0.9),
        Queue(16, 8),
        fadex_optimiser(encoder, configured),
        configured,
    )


def test_a_step_is_what_it_says() -> None:
    """Against its parts, called one after the other."""
    stage = made(learning_rate=0.01)
    encoder, momentum, queue = map(copy.deepcopy, (stage.encoder, stage.momentum, stage.queue))
    one = batch()
    scalars = stage.step(one)

    optimiser = torch.optim.Adam(encoder.parameters(), lr=0.01, betas=(0.9, 0.999))
    keys = momentum(one.key_hq, one.key_lq)
    queries = encoder(one.query_hq, one.query_lq).embedding
    loss = info_nce(queries, keys, OPERATORS, queue.embeddings, queue.labels, 0.07)
    loss.backward()
    norm = torch.cat([part.grad.flatten() for part in encoder.parameters()]).norm()
    optimiser.step()
    momentum.update(encoder)
    queue.enqueue(keys, OPERATORS)
    assert scalars["loss"] == pytest.approx(loss.item())
    assert scalars["gradient"] == pytest.approx(norm.item(), rel=1e-4)
    for found, wanted in ((stage.encoder, encoder), (stage.momentum, momentum)):
        for name, tensor in wanted.state_dict().items():
            assert torch.allclose(found.state_dict()[name], tensor, atol=1e-6), name
    assert torch.equal(stage.queue.labels, queue.labels)
    assert torch.allclose(stage.queue.embeddings, queue.embeddings, atol=1e-6)
    cosines = (queries @ keys.T).detach()
    assert scalars["positive"] == pytest.approx(
        torch.stack([cosines[i, i ^ 1] for i in range(6)]).mean().item(), abs=1e-5
    )
    others = [cosines[i, j] for i in range(6) for j in range(6) if i // 2 != j // 2]
    assert scalars["negative"] == pytest.approx(torch.stack(others).mean().item(), abs=1e-5)


def test_own_keys_are_not_in_the_queue_they_are_compared_with() -> None:
    """They are put in after the comparison: the first loss does not depend on the queue, whose
    slots are empty."""
    stage, other = made(), made()
    other.queue = Queue(16, 8, seed=99)
    assert stage.step(batch())["loss"] == other.step(batch())["loss"]
    assert stage.queue.labels.tolist() == [*OPERATORS.tolist(), *[-1] * 10]


def test_learns_to_tell_operators_apart_whatever_the_image() -> None:
    """On batches that are all different."""
    stage = made()
    gaps = []
    for seed in range(160):
        scalars = stage.step(batch(seed))
        gaps.append(scalars["positive"] - scalars["negative"])
    assert abs(sum(gaps[:3])) / 3 < 0.1
    assert sum(gaps[-10:]) / 10 > 0.25


def test_a_resumed_run_is_the_same_run() -> None:
    whole, first = made(), made()
    for seed in range(4):
        expected = whole.step(batch(seed))
    for seed in range(2):
        first.step(batch(seed))
    second = made()
    for name in ("encoder", "momentum", "queue", "optimiser"):
        state = copy.deepcopy(getattr(first, name).state_dict())
        getattr(second, name).load_state_dict(state)
    for seed in range(2, 4):
        found = second.step(batch(seed))
    assert found == expected
    for name, tensor in whole.encoder.state_dict().items():
        assert torch.equal(second.encoder.state_dict()[name], tensor)


def test_a_batch_without_positives_changes_no_weight() -> None:
    stage = made()
    before = copy.deepcopy(dict(stage.encoder.named_parameters()))
    scalars = stage.step(batch(operators=torch.arange(6)))
    assert scalars["loss"] == scalars["gradient"] == 0
    assert scalars["positive"] != scalars["positive"]
    for name, parameter in stage.encoder.named_parameters():
        assert torch.equal(parameter, before[name])


def test_the_learning_rate_falls_at_three_fifths() -> None:
    rates = [StageOneSettings().rate_at(step, 100) for step in range(100)]
    assert rates == pytest.approx([1e-3] * 60 + [1e-4] * 40)


def test_clipping_is_off_unless_asked_for() -> None:
    free, clipped = made(), made(clip_norm=1e-6)
    for stage in (free, clipped):
        stage.optimiser = torch.optim.SGD(stage.encoder.parameters(), lr=1.0)
    before = copy.deepcopy(list(free.encoder.parameters()))
    norms = []
    for stage in (free, clipped):
        shown = stage.step(batch())["gradient"]
        pairs = zip(stage.encoder.parameters(), before, strict=True)
        norms.append(
            torch.cat([(a - b).detach().flatten() for a, b in pairs]).norm().item() / shown
        )
    assert norms[0] == pytest.approx(1, rel=1e-3)
    assert norms[1] < 1e-3


def test_numbers_that_are_none_leave_weights_and_queue_alone() -> None:
    stage = made()
    one = batch()
    one.query_lq[0, 0, 0, 0] = float("nan")
    before = copy.deepcopy(list(stage.encoder.parameters()))
    with pytest.raises(NonFiniteLossError, match="loss is nan"):
        stage.step(one)
    assert all(torch.equal(*pair) for pair in zip(before, stage.encoder.parameters(), strict=True))
    assert stage.queue.labels.max() == -1


def test_wrong_inputs_are_refused() -> None:
    stage = made()
    stage.encoder.eval()
    with pytest.raises(ValueError, match="evaluation mode"):
        stage.step(batch())
    with pytest.raises(ValueError, match="four views of one size"):
        StageOneBatch(*[torch.zeros(2, 3, 8, 8)] * 3, torch.zeros(2, 3, 9, 8), torch.zeros(2))
    with pytest.raises(ValueError, match="four views"):
        StageOneBatch(*[torch.zeros(2, 3, 8, 8)] * 4, torch.zeros(3))
