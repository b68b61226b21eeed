"""Records: complete, plain JSON, and enough to make the LQ again."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from inscene.degrade import Operator, Profile, load_profile, replay
from inscene.degrade.arrays import ByteImage
from inscene.degrade.kernels import effective_sigma, kernel
from inscene.degrade.noise import RNG_NAME
from inscene.degrade.values import EllipseBlur
from inscene.degrade.versions import degrade_version
from inscene.errors import UsageError, VerificationError
from inscene.images import pixel_hash

KEYS = {
    "sem",
    "profile",
    "operator_id",
    "image_key",
    "version",
    "noise_seed",
    "rng",
    "gt_size",
    "sf",
    "registration",
    "jpeg_backend",
    "usm",
    "out",
    "operator",
    "effective",
    "lq_sha256",
}


def version_of(
    image: ByteImage, profile: Profile, version: int = 0
) -> tuple[ByteImage, dict[str, object]]:
    return degrade_version(image, profile, image_key="key", version=version, seed=11)


@pytest.mark.parametrize("name", ["s3diff", "realesrgan", "faceme"])
@pytest.mark.parametrize("usm", [False, True])
def test_replay_is_bit_exact(small_photo: ByteImage, name: str, usm: bool) -> None:
    profile = load_profile(name).with_changes(usm=usm)
    for version in range(6):
        lq, record = version_of(small_photo, profile, version)
        stored = json.loads(json.dumps(record))
        assert stored == record
        np.testing.assert_array_equal(replay(small_photo, stored), lq)


def test_content(small_photo: ByteImage) -> None:
    profile = load_profile("realesrgan")
    lq, record = version_of(small_photo, profile, version=1)
    operator = Operator.from_dict(record["operator"])  # type: ignore[arg-type]
    assert set(record) == KEYS
    assert record["operator_id"] == operator.operator_id
    assert record["profile"] == "realesrgan"
    assert record["image_key"] == "key"
    assert record["version"] == 1
    assert record["gt_size"] == [160, 128]
    assert record["sf"] == 4
    assert record["lq_sha256"] == pixel_hash(lq)
    assert record["rng"] == RNG_NAME
    scale = operator.first.resize.scale
    assert isinstance(operator.first.blur, EllipseBlur)
    assert record["effective"]["first"] == {  # type: ignore[index]
        "blur_sigma": effective_sigma(kernel(operator.first.blur)),
        "size": [math.floor(160 * scale), math.floor(128 * scale)],
    }


def test_one_stage_has_no_second(small_photo: ByteImage) -> None:
    _, record = version_of(small_photo, load_profile("faceme"))
    assert record["effective"]["second"] is None  # type: ignore[index]


def test_versions_images_and_seeds_differ(small_photo: ByteImage) -> None:
    profile = load_profile("s3diff")
    names = [("a", 0, 0), ("a", 1, 0), ("b", 0, 0), ("a", 0, 1)]
    records = [
        degrade_version(small_photo, profile, image_key=key, version=version, seed=seed)[1]
        for key, version, seed in names
    ]
    for field in ("operator_id", "noise_seed", "lq_sha256"):
        assert len({record[field] for record in records}) == len(names)


def test_replay_checks_what_it_makes(small_photo: ByteImage) -> None:
    _, record = version_of(small_photo, load_profile("s3diff"))
    changed = small_photo.copy()
    changed[40:80, 40:80] = 255 - changed[40:80, 40:80]
    with pytest.raises(VerificationError, match="not the recorded one"):
        replay(changed, record)
    with pytest.raises(UsageError, match="159 × 128, the record's 160 × 128"):
        replay(small_photo[:159], record)
    with pytest.raises(UsageError, match="no key 'operator'"):
        replay(small_photo, {key: value for key, value in record.items() if key != "operator"})


def test_the_hash_is_of_shape_and_pixels() -> None:
    flat = np.zeros((2, 3, 3), np.uint8)
    assert pixel_hash(flat) != pixel_hash(flat.reshape(3, 2, 3))
    assert pixel_hash(flat[:, ::-1]) == pixel_hash(flat)
