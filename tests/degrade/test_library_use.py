"""Degrading inside a user's own program: data loaders, threads, copies."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from inscene.degrade import Operator, Profile, PsfField, degrade, load_operator, load_profile
from inscene.degrade.arrays import ByteImage
from inscene.images import pixel_hash
from inscene.seeds import Draws


def field() -> PsfField:
    return PsfField(np.random.default_rng(0).random((3, 3, 7, 7)) + 0.1)


# A data set as a user writes one. Processes that are spawned load it from its text: pytest's test
# modules have no name that they could import.
DATASET = '''
import numpy as np
from inscene.degrade import Operator, degrade
from inscene.seeds import Draws

class Pairs:
    """LQ and clean image; the draws are of the index, so that no worker needs a seed."""

    def __init__(self, profiles, psf_field):
        self.profiles, self.psf_field = profiles, psf_field

    def __len__(self):
        return 12

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (48, 64, 3), np.uint8)
        profile = self.profiles[index % len(self.profiles)]
        draws = Draws("training", index)
        operator = Operator.draw(profile, draws)
        lq = degrade(image, operator, draws.seed("noise"), self.psf_field)
        return index, operator.operator_id, lq
'''

PROGRAM = (
    DATASET
    + """
import hashlib, json, sys
from inscene.degrade import PsfField, load_profile
from torch.utils.data import DataLoader

def main():
    field = PsfField(np.random.default_rng(0).random((3, 3, 7, 7)) + 0.1)
    plain = load_profile("realesrgan")
    profiles = [plain, load_profile("s3diff"), plain.with_changes(varying_blur=field.blur)]
    data = Pairs(profiles, field)
    made = {}
    for name, workers, method in (("0", 0, None), ("fork", 2, "fork"), ("spawn", 2, "spawn")):
        loader = DataLoader(data, batch_size=None, num_workers=workers,
                            multiprocessing_context=method)
        made[name] = [
            (int(index), operator_id, hashlib.sha256(np.asarray(lq).tobytes()).hexdigest())
            for index, operator_id, lq in loader
        ]
    print(json.dumps(made))

if __name__ == "__main__":
    main()
"""
)


def test_a_data_loader_gives_the_same_in_any_process(tmp_path: Any) -> None:
    """In a program of its own: a fork would take this process's threads, and warn of it. The fork
    comes after degradations in the parent, whose compiled code and tables it inherits."""
    if importlib.util.find_spec("torch") is None:  # here it would only cost seconds
        pytest.skip("needs torch")
    program = tmp_path / "train.py"
    program.write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["0"] == made["fork"] == made["spawn"]
    assert [index for index, _, _ in made["0"]] == list(range(12))
    assert len({lq for _, _, lq in made["0"]}) == 12

    # And here.
    space: dict[str, Any] = {}
    exec(DATASET, space)
    plain, psf_field = load_profile("realesrgan"), field()
    profiles = [plain, load_profile("s3diff"), plain.with_changes(varying_blur=psf_field.blur)]
    here = space["Pairs"](profiles, psf_field)
    for index, operator_id, lq_hash in made["0"]:
        _, mine, lq = here[index]
        assert (mine, hashlib.sha256(lq.tobytes()).hexdigest()) == (operator_id, lq_hash)


def test_threads_give_what_one_thread_gives(small_photo: ByteImage) -> None:
    """The compiled loops run without the interpreter's lock; the tables of counts are shared."""
    psf_field = field()
    profiles = [
        load_profile("realesrgan").with_poisson_levels(64),
        load_profile("s3diff"),
        load_profile("faceme"),
        load_profile("realesrgan").with_changes(varying_blur=psf_field.blur, usm=True),
        load_profile("realesrgan").with_changes(jpeg_backend="libjpeg"),
    ]
    operators = [
        Operator.draw(profiles[index % len(profiles)], Draws("threads", index))
        for index in range(30)
    ]

    def made(index: int) -> str:
        return pixel_hash(degrade(small_photo, operators[index], index, psf_field))

    alone = [made(index) for index in range(len(operators))]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            assert list(pool.map(made, range(len(operators)))) == alone
        # One image and one operator for all threads at once.
        assert set(pool.map(made, [3] * 16)) == {alone[3]}


def test_threads_may_build_the_tables_of_counts_at_once() -> None:
    from inscene.degrade.counts import count_tables

    levels = [64, 128, 300, 500, 700, 900, 1100, 1300, 1500, 1700] * 4  # more than are kept
    alone = {each: count_tables(each).cells.copy() for each in set(levels)}
    count_tables.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        for each, tables in zip(levels, pool.map(count_tables, levels), strict=True):
            np.testing.assert_array_equal(tables.cells, alone[each])


@pytest.mark.parametrize(
    "copied", [lambda value: pickle.loads(pickle.dumps(value)), copy.copy, copy.deepcopy]
)
def test_values_can_be_sent_and_copied(
    copied: Callable[[Any], Any], small_photo: ByteImage
) -> None:
    psf_field = field()
    profile = load_profile("s3diff").with_changes(varying_blur=psf_field.blur)
    operator = Operator.draw(profile, Draws("copies"))
    assert copied(profile) == profile
    assert copied(operator) == operator
    assert copied(load_operator("d4")) == load_operator("d4")
    assert Operator.draw(copied(profile), Draws("copies")).operator_id == operator.operator_id
    np.testing.assert_array_equal(
        degrade(small_photo, copied(operator), 1, copied(psf_field)),
        degrade(small_photo, operator, 1, psf_field),
    )


def test_values_are_keys() -> None:
    """Operators that are equal are one key, which is how images of one operator are found."""
    operators = [Operator.draw(load_profile("s3diff"), Draws(index % 3)) for index in range(9)]
    assert len(set(operators)) == 3
    ids = {operator: operator.operator_id for operator in operators}
    assert ids[operators[4]] == operators[1].operator_id


def test_operators_need_no_compiler() -> None:
    """A program that draws operators, or reads them, pays for neither numba nor OpenCV."""
    code = (
        "import sys, inscene.degrade as d; from inscene.seeds import Draws;"
        "operator = d.Operator.draw(d.load_profile('realesrgan'), Draws(0));"
        "assert d.Operator.from_json(operator.to_json()).operator_id == operator.operator_id;"
        "assert d.load_operator('d1').sf == 4; assert d.Profile;"
        "print(*sorted({'numba', 'llvmlite', 'cv2', 'scipy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_nothing_of_the_callers_is_touched(small_photo: ByteImage) -> None:
    """NumPy's global generator, its error state, and the profile that was drawn from."""
    profile: Profile = load_profile("realesrgan")

    def seen() -> str:
        return repr((profile.model_dump_json(), np.random.get_state(), np.geterr()))

    before = seen()
    degrade(small_photo, Operator.draw(profile, Draws(5)), 0)
    assert seen() == before
