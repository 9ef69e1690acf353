"""The probe's scale against the frames'."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import consistent_probe, probe_energy_ratio


def test_a_plausible_probe_is_kept(scan):
    assert 1 < probe_energy_ratio(scan) < 10
    assert consistent_probe(scan) is scan


@pytest.mark.parametrize("factor", [1e-9, 1e-3, 0.1, 40.0, 1e9])
def test_an_implausible_probe_is_put_on_the_scale_of_the_frames(scan, caplog, factor):
    mended = consistent_probe(replace(scan, probe=scan.probe * factor))
    assert probe_energy_ratio(mended) == pytest.approx(1, rel=1e-5)
    assert "the probe is multiplied by" in caplog.text
    ratio = mended.probe / scan.probe
    np.testing.assert_allclose(ratio, ratio[8, 8].real, rtol=1e-5)
    assert ratio[8, 8].real > 0


def test_one_outshining_frame_does_not_set_the_scale(make_scan):
    scan = make_scan(n=400)
    frames = scan.amplitude.copy()
    frames[7] *= 100
    before, after = probe_energy_ratio(scan), probe_energy_ratio(replace(scan, amplitude=frames))
    assert after == pytest.approx(before, rel=0.02)


def test_blank_frames_do_not_set_the_scale(make_scan):
    scan = make_scan(n=400)
    frames = scan.amplitude.copy()
    frames[3:] = 0
    energies = np.sort(scan.frame_energies[:3])
    expected = np.sum(np.abs(scan.probe) ** 2) / energies[-1]
    assert probe_energy_ratio(replace(scan, amplitude=frames)) == pytest.approx(expected, rel=0.02)
