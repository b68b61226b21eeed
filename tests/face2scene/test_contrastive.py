"""The contrastive loss against loops, and measures of what it taught."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inscene.face2scene.contrastive import info_nce
from inscene.face2scene.similarity import (
    cosine_matrices,
    positive_negative_similarity,
    retrieval_accuracy,
)

operators = st.lists(st.integers(0, 3), min_size=1, max_size=8)
queued = st.lists(st.integers(-1, 4), max_size=10)


def unit(rows: int, width: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, width, generator=generator), dim=1)


def by_loops(
    queries: Tensor,
    keys: Tensor,
    labels: list[int],
    queue: Tensor,
    queue_labels: list[int],
    temperature: float,
) -> float:
    losses = []
    for i, label in enumerate(labels):
        similarity = [float(queries[i].double() @ key.double()) for key in keys]
        positives = [j for j in range(len(labels)) if j != i and labels[j] == label]
        if not positives:
            continue
        terms = [similarity[j] for j in positives]
        terms += [similarity[j] for j in range(len(labels)) if labels[j] != label]
        for slot, other in enumerate(queue_labels):
            if other not in (-1, label):
                terms.append(float(queries[i].double() @ queue[slot].double()))
        log_sum = math.log(sum(math.exp(term / temperature) for term in terms))
        losses.append(
            -sum(similarity[j] / temperature - log_sum for j in positives) / len(positives)
        )
    return sum(losses) / len(losses) if losses else 0.0


@settings(deadline=None, derandomize=True, max_examples=80)
@given(
    labels=operators,
    queue_labels=queued,
    temperature=st.sampled_from([0.05, 0.07, 0.5, 2.0]),
    seed=st.integers(0, 1000),
)
def test_is_the_formula(
    labels: list[int], queue_labels: list[int], temperature: float, seed: int
) -> None:
    queries, keys = unit(len(labels), seed=seed), unit(len(labels), seed=seed + 1)
    queue = unit(len(queue_labels), seed=seed + 2)
    loss = info_nce(
        queries,
        keys,
        torch.tensor(labels),
        queue,
        torch.tensor(queue_labels, dtype=torch.int64),
        temperature,
    )
    expected = by_loops(queries, keys, labels, queue, queue_labels, temperature)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_empty_slots_and_slots_of_the_same_operator_do_not_count() -> None:
    labels = torch.tensor([5, 5, 5])
    queries, keys, queue = unit(3), unit(3, seed=1), unit(4, seed=2)
    loss = info_nce(queries, keys, labels, queue, torch.tensor([-1, 5, -1, 5]))
    without = info_nce(queries, keys, labels, queue[:0], torch.empty(0, dtype=torch.int64))
    torch.testing.assert_close(loss, without, rtol=0, atol=0)
    assert info_nce(queries, keys, labels, queue, torch.tensor([-1, 5, 7, 5])) > loss


def test_its_own_key_does_not_count() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    queries, keys = unit(4), unit(4, seed=1)
    none = unit(0), torch.empty(0, dtype=torch.int64)
    moved = torch.cat([F.normalize(keys[:1] + 1, dim=1), keys[1:]])
    # Of four queries, only the first may not notice that the first key is another.
    before = torch.func.jacrev(lambda q: info_nce(q, keys, labels, *none))(queries)
    after = torch.func.jacrev(lambda q: info_nce(q, moved, labels, *none))(queries)
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_only_queries_get_gradients() -> None:
    labels = torch.tensor([0, 0, 1])
    queries, keys, queue = (x.requires_grad_() for x in (unit(3), unit(3), unit(2)))
    info_nce(queries, keys, labels, queue, torch.tensor([1, 2])).backward()
    assert keys.grad is None
    assert queue.grad is None
    assert queries.grad is not None
    assert queries.grad.isfinite().all()
    assert queries.grad[:2].abs().sum() > 0
    assert queries.grad[2].abs().sum() == 0  # without positives


def test_without_positives_it_is_zero_and_can_be_differentiated() -> None:
    queries = unit(3).requires_grad_()
    loss = info_nce(
        queries, unit(3), torch.tensor([0, 1, 2]), unit(2), torch.tensor([-1, 0], dtype=torch.int64)
    )
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(queries.grad, torch.zeros(3, 6))


def test_works_in_float32_whatever_comes() -> None:
    labels, queue_labels = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2])
    rough = [unit(rows, seed=rows).bfloat16() for rows in (4, 5, 2)]
    queries, keys, queue = rough[0], rough[1][:4], rough[2]
    exact = info_nce(queries.float(), keys.float(), labels, queue.float(), queue_labels)
    assert exact.dtype == torch.float32
    loss = info_nce(queries, keys, labels, queue, queue_labels)
    torch.testing.assert_close(loss, exact, rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = info_nce(queries.float(), keys.float(), labels, queue.float(), queue_labels)
    torch.testing.assert_close(loss, exact, rtol=0, atol=0)


def test_refuses_no_temperature() -> None:
    with pytest.raises(ValueError, match="temperature"):
        info_nce(unit(2), unit(2), torch.tensor([0, 0]), unit(1), torch.tensor([1]), 0.0)


def test_retrieval_is_by_the_nearest() -> None:
    # Two operators in two directions, and a last row that lies with those of the other one.
    embeddings = torch.tensor([[1.0, 0.0], [2.0, 0.1], [0.0, 3.0], [0.1, 1.0], [1.0, 0.02]])
    labels = torch.tensor([0, 0, 1, 1, 1])
    assert retrieval_accuracy(embeddings[:4], labels[:4]) == 1
    # It is the nearest of both, and one of them is its own nearest.
    assert retrieval_accuracy(embeddings, labels) == pytest.approx(2 / 5)
    assert retrieval_accuracy(embeddings[:4], torch.tensor([0, 1, 0, 1])) == 0


def test_retrieval_never_looks_at_the_same_content() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.8, 0.2], [0.2, 0.8]])
    labels = torch.tensor([0, 1, 0, 1])
    assert retrieval_accuracy(embeddings, labels) == 0
    # Rows 0 and 1 were each other's nearest: now rows 0 and 3 are right.
    assert retrieval_accuracy(embeddings, labels, torch.tensor([0, 0, 1, 1])) == 0.5


def test_rows_that_cannot_be_right_are_left_out() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.05], [0.0, 1.0]])
    assert retrieval_accuracy(embeddings[[0, 1, 3]], torch.tensor([0, 0, 1])) == 1
    with pytest.raises(ValueError, match="two contents"):
        retrieval_accuracy(embeddings[:2], torch.tensor([0, 0]), torch.tensor([3, 3]))


def test_mean_similarities() -> None:
    embeddings = torch.tensor([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    positive, negative = positive_negative_similarity(embeddings, labels)
    assert positive == pytest.approx((1 - 1) / 2)
    assert negative == pytest.approx(0)
    positive, _ = positive_negative_similarity(embeddings, labels, torch.tensor([0, 1, 2, 2]))
    assert positive == pytest.approx(1)  # of one content, the opposite pair does not count
    with pytest.raises(ValueError, match="two operators"):
        positive_negative_similarity(embeddings, torch.zeros(4))


@settings(deadline=None, derandomize=True, max_examples=20)
@given(images=st.integers(2, 6), presets=st.integers(2, 5), seed=st.integers(0, 100))
def test_cosine_matrices_are_the_means_over_pairs(images: int, presets: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(images, presets, 4, generator=generator)
    test = cosine_matrices(embeddings)
    assert test.image_pairs.shape == (presets, images, images)
    assert test.preset_pairs.shape == (images, presets, presets)

    def cosine(a: Tensor, b: Tensor) -> float:
        return float(a @ b / a.norm() / b.norm())

    for p in range(presets):
        pairs = [
            cosine(embeddings[i, p], embeddings[j, p]) for i in range(images) for j in range(i)
        ]
        assert float(test.per_preset[p]) == pytest.approx(sum(pairs) / len(pairs), abs=1e-5)
        assert float(test.image_pairs[p, 0, 1]) == pytest.approx(pairs[0], abs=1e-5)
    for i in range(images):
        pairs = [
            cosine(embeddings[i, p], embeddings[i, q]) for p in range(presets) for q in range(p)
        ]
        assert float(test.per_image[i]) == pytest.approx(sum(pairs) / len(pairs), abs=1e-5)
        assert float(test.preset_pairs[i, 1, 0]) == pytest.approx(pairs[0], abs=1e-5)


def test_the_papers_test_tells_a_perfect_extractor() -> None:
    codes = torch.eye(4).expand(10, 4, 4)
    test = cosine_matrices(codes)
    torch.testing.assert_close(test.per_preset, torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(test.per_image, torch.zeros(10, dtype=torch.float64))
    with pytest.raises(ValueError, match="at least 2"):
        cosine_matrices(codes[:1])
