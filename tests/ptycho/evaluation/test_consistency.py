"""How sure a cut-off between half sets is: as sure as that of the mean curve, not as that of one split."""

import numpy as np
import pytest
from complex_objects import analytic_object, complex_noise

from ptycho.evaluation import measure_consistency
from ptycho.evaluation.frc import mean_frc
from ptycho.image.placed import PlacedImage

SHAPE = (96, 110)


def consistency_of(n_splits):
    def half(seed):
        return PlacedImage(
            analytic_object(SHAPE) + complex_noise(SHAPE, 0.15, seed=seed), np.ones(SHAPE, bool), (0, 0)
        )

    splits = [(half(2 * number), half(2 * number + 1)) for number in range(n_splits)]
    return measure_consistency(
        splits, image=analytic_object(SHAPE), overlap_variance=np.zeros(SHAPE, np.float32)
    )


def test_the_spread_of_a_cutoff_is_its_standard_error_by_jackknife():
    found = consistency_of(4)
    spread = found.cutoff_spread("half_bit").phase
    without = [
        mean_frc([split for k, split in enumerate(found.split_frcs) if k != left], frc_sigma=0.0)
        for left in range(4)
    ]
    cutoffs = np.array([curves.phase.cutoffs.half_bit.frequency for curves in without])
    assert spread == pytest.approx(np.sqrt(3 / 4 * ((cutoffs - cutoffs.mean()) ** 2).sum()))
    assert spread > 0


def test_one_split_has_no_spread():
    assert consistency_of(1).cutoff_spread("half_bit").amplitude is None
