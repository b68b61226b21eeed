"""Batches that are made ahead, in the order of their steps."""

from __future__ import annotations

import pytest
import torch
from made_training import Targets

from inscene.errors import UsageError
from inscene.training.loader import Loader


@pytest.mark.parametrize("workers", [0, 2])
def test_in_the_order_of_steps_from_any_step_on(workers: int) -> None:
    before = torch.get_rng_state()
    with Loader(Targets(), 3, 12, workers) as loader:
        found = [(step, batch[0].item()) for step, batch in loader]
    assert found == [(step, float(step % 7)) for step in range(3, 12)]
    assert loader.waited_s > 0
    assert torch.equal(torch.get_rng_state(), before)  # training draws what it would have


def test_a_workers_error_is_the_users(capfd: pytest.CaptureFixture[str]) -> None:
    with Loader(Targets(fails_at=2), 0, 9, 1) as loader, pytest.raises(UsageError) as caught:
        list(loader)
    assert caught.value.where == "photo 2"
    assert caught.value.next_step == "Mend it."
    assert "Traceback" not in capfd.readouterr().err
