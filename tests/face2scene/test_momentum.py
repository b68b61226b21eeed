"""The slow copy and the queue, and a training of both that learns to tell four degradations."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inscene.face2scene.contrastive import info_nce
from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.momentum import MomentumEncoder, Queue
from inscene.face2scene.similarity import positive_negative_similarity, retrieval_accuracy


def small_fadex(seed: int = 0) -> FaDeX:
    torch.manual_seed(seed)
    return FaDeX((8, 8, 16, 16, 16, 16), embedding_dim=16)


def faces(batch: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    images = torch.rand(2, batch, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return images[0] * 2 - 1, images[1] * 2 - 1


def test_it_begins_as_a_copy_of_its_own() -> None:
    fadex = small_fadex()
    slow = MomentumEncoder(fadex)
    assert slow.momentum == 0.999
    for own, other in zip(slow.encoder.parameters(), fadex.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=0)
        assert own.data_ptr() != other.data_ptr()
    assert all(parameter.requires_grad for parameter in fadex.parameters())


def test_parameters_follow_slowly_and_statistics_at_once() -> None:
    fadex, slow = small_fadex(), MomentumEncoder(small_fadex(), momentum=0.9)
    before = copy.deepcopy(slow.encoder.state_dict())
    with torch.no_grad():
        for parameter in fadex.parameters():
            parameter.add_(torch.randn_like(parameter))
    fadex.train()(*faces(4))
    slow.update(fadex)
    parameters = dict(fadex.named_parameters())
    for name, now in slow.encoder.state_dict().items():
        if name in parameters:
            expected = 0.9 * before[name] + 0.1 * parameters[name].detach()
            torch.testing.assert_close(now, expected)
        else:
            torch.testing.assert_close(now, fadex.state_dict()[name], rtol=0, atol=0)
    assert not torch.equal(before["encoder.1.running_mean"], fadex.encoder[1].running_mean)


def test_keys_are_unit_embeddings_without_gradients() -> None:
    fadex = small_fadex().eval()
    slow = MomentumEncoder(fadex).eval()
    hq, lq = faces(3)
    keys = slow(hq.requires_grad_(), lq)
    assert not keys.requires_grad
    torch.testing.assert_close(keys, fadex(hq, lq).embedding)
    assert not any(parameter.requires_grad for parameter in slow.parameters())


def test_refuses_a_momentum_above_one() -> None:
    with pytest.raises(ValueError, match="momentum"):
        MomentumEncoder(small_fadex(), momentum=1.1)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(size=st.integers(1, 12), batches=st.lists(st.integers(0, 15), max_size=6))
def test_the_queue_holds_the_newest(size: int, batches: list[int]) -> None:
    queue = Queue(size, dim=2)
    entered: list[int] = []
    for count in batches:
        labels = torch.arange(len(entered), len(entered) + count)
        queue.enqueue(torch.stack([labels, -labels], dim=1).float(), labels)
        entered += labels.tolist()
    expected = [-1] * size
    for place, label in enumerate(entered):
        expected[place % size] = label
    assert queue.labels.tolist() == expected
    for row, label in zip(queue.embeddings.tolist(), expected, strict=True):
        if label >= 0:
            assert row == [label, -label]
        else:
            assert row[0] ** 2 + row[1] ** 2 == pytest.approx(1)


def test_the_queue_begins_with_unit_vectors_of_no_operator() -> None:
    queue = Queue()
    assert queue.embeddings.shape == (8192, 256)
    assert queue.labels.dtype == torch.int64
    assert (queue.labels == -1).all()
    torch.testing.assert_close(queue.embeddings.norm(dim=1), torch.ones(8192))
    assert torch.equal(queue.embeddings, Queue().embeddings)
    assert not torch.equal(queue.embeddings, Queue(seed=1).embeddings)
    assert not list(queue.parameters())


def test_the_queue_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="2×4 are needed"):
        Queue(8, dim=4).enqueue(torch.zeros(2, 5), torch.zeros(2))
    with pytest.raises(ValueError, match="3×4 are needed"):
        Queue(8, dim=4).enqueue(torch.zeros(2, 4), torch.zeros(3))
    with pytest.raises(ValueError, match="size"):
        Queue(0)


DEGRADATIONS = 4


def degraded(hq: Tensor, operator: int, generator: torch.Generator) -> Tensor:
    """Blur, noise, blocks or fewer tones: nothing that one picture alone would tell."""
    if operator == 0:
        return F.avg_pool2d(hq, 5, stride=1, padding=2, count_include_pad=False)
    if operator == 1:
        return hq + 0.2 * torch.randn(hq.shape, generator=generator)
    if operator == 2:
        return F.interpolate(F.avg_pool2d(hq, 4), scale_factor=4)
    return (hq * 3).round() / 3


class Run:
    """Training as a recipe would do it, with images of smooth random colours."""

    def __init__(self) -> None:
        self.fadex = small_fadex().train()
        self.slow = MomentumEncoder(self.fadex, momentum=0.9).train()
        self.queue = Queue(64, dim=16)
        self.optimiser = torch.optim.Adam(self.fadex.parameters(), lr=3e-3)
        self.generator = torch.Generator().manual_seed(0)

    def batch(self, images: int) -> tuple[Tensor, Tensor, Tensor]:
        coarse = torch.rand(images * DEGRADATIONS, 3, 5, 5, generator=self.generator) * 2 - 1
        hq = F.interpolate(coarse, size=(24, 24), mode="bicubic").clamp(-1, 1)
        labels = torch.arange(DEGRADATIONS).repeat(images)
        lq = torch.cat(
            [
                degraded(image[None], operator, self.generator)
                for image, operator in zip(hq, labels.tolist(), strict=True)
            ]
        )
        return hq, lq, labels

    def step(self) -> float:
        hq, lq, labels = self.batch(3)
        queries = self.fadex(hq, lq).embedding
        keys = self.slow(hq.flip(-1), lq.flip(-1))
        loss = info_nce(queries, keys, labels, self.queue.embeddings, self.queue.labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.slow.update(self.fadex)
        self.queue.enqueue(keys, labels)
        return loss.item()


def test_a_short_training_tells_degradations_of_new_images() -> None:
    run = Run()
    for _ in range(60):
        run.step()
    hq, lq, labels = run.batch(10)
    with torch.no_grad():
        embeddings = run.fadex.eval()(hq, lq).embedding
        untrained = small_fadex().eval()(hq, lq).embedding
    assert retrieval_accuracy(embeddings, labels) > 0.9
    positive, negative = positive_negative_similarity(embeddings, labels)
    before = positive_negative_similarity(untrained, labels)
    assert positive - negative > 0.5 > before.positive - before.negative


def test_a_run_goes_on_bit_for_bit() -> None:
    one = Run()
    for _ in range(3):
        one.step()
    parts = ("fadex", "slow", "queue", "optimiser")
    saved = {part: copy.deepcopy(getattr(one, part).state_dict()) for part in parts}
    state = one.generator.get_state()
    expected = [one.step() for _ in range(3)]

    other = Run()
    other.step()
    for part in parts:
        getattr(other, part).load_state_dict(saved[part])
    other.generator.set_state(state)
    assert [other.step() for _ in range(3)] == expected
    for part in ("slow", "queue"):
        theirs = getattr(other, part).state_dict()
        for name, value in getattr(one, part).state_dict().items():
            assert torch.equal(value, theirs[name]), (part, name)
