"""Bundles that PtychoPINN itself saved, against what it predicted from them."""

from pathlib import Path

import numpy as np
import pytest

from ptycho.models.legacy_bundle import load_legacy

GENUINE = Path(__file__).parents[4] / "shared" / "data" / "ptychopinn-bundles"
pytestmark = pytest.mark.skipif(not GENUINE.is_dir(), reason=f"{GENUINE} is not there")


def _central_half(patches):
    quarter = patches.shape[1] // 4
    return patches[:, quarter:-quarter, quarter:-quarter]


def _relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.spec("CM-2.7")
@pytest.mark.parametrize(
    ("name", "combine", "trusted"),
    [
        ("head_base64", "polar", 32),
        ("head_gs2", "polar", 32),
        ("head_n128", "polar", 64),
        ("head_nobig_gs1", "polar", 64),
        ("head_noprobebig_gs2", "polar", 32),
        ("head_nopad", "polar", 32),
        ("C_tf221_47f064e_gs2", "rectangular", 32),
    ],
)
def test_a_genuine_bundle_predicts_what_ptychopinn_did(name, combine, trusted):
    model = load_legacy(GENUINE / name)
    with np.load(GENUINE / name / "pair.npz") as pair:
        frames, coordinates, expected = pair["X"], pair["coords"], pair["Y"][..., 0]
    offsets_yx = -np.moveaxis(coordinates[:, 0, ::-1], 1, 2)
    found = model.predict_batch(frames, offsets_yx)
    assert _relative_error(_central_half(found), _central_half(expected)) <= 3e-6
    # Around the central half the factor of 1000 enlarges what the merging rounds.
    assert _relative_error(found, expected) <= (3e-6 if trusted == expected.shape[1] else 1e-4)
    assert (model.combine, model.trusted_crop_size) == (combine, trusted)
    assert len(model.assumptions) == (combine == "rectangular")
