"""The overlap of two probes against a search over shifts by hand."""

import numpy as np
import pytest

from ptycho.data import defocused_probe
from ptycho.evaluation import probe_overlap


def test_brightness_place_and_phase_do_not_matter():
    probe = defocused_probe(48, defocus=5.0)
    same = (0.02 - 0.3j) * np.roll(probe, (-4, 7), (0, 1))
    assert probe_overlap(probe, same) == pytest.approx(1, abs=1e-5)
    frequency = np.fft.fftfreq(48)
    between = np.fft.ifft2(
        np.fft.fft2(probe) * np.exp(-2j * np.pi * np.add.outer(3.25 * frequency, -1.75 * frequency))
    )
    assert probe_overlap(probe, between) == pytest.approx(1, abs=1e-3)


def test_the_overlap_is_the_best_over_all_shifts():
    first, second = defocused_probe(24, defocus=3.0), defocused_probe(24, aperture=0.8, defocus=1.0)
    by_hand = max(
        abs(np.vdot(first, np.roll(second, (y, x), (0, 1)))) for y in range(-12, 12) for x in range(-12, 12)
    ) / (np.linalg.norm(first) * np.linalg.norm(second))
    found = probe_overlap(first, second)
    assert by_hand <= found + 1e-6 < by_hand + 0.02
    assert found == pytest.approx(probe_overlap(second, first))


def test_another_defocus_is_another_probe():
    overlaps = [probe_overlap(defocused_probe(64), defocused_probe(64, defocus=f)) for f in (12, 11, 10, 8)]
    assert overlaps == sorted(overlaps, reverse=True)
    assert (overlaps[1], overlaps[3]) == (pytest.approx(0.96, abs=0.01), pytest.approx(0.48, abs=0.01))
