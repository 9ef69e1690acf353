"""The same sums as a TensorFlow graph."""

import numpy as np
import pytest

from ptycho.data import SimulationSettings, simulate
from ptycho.errors import SettingsError
from ptycho.image import PlacedImage
from ptycho.refinement import RefinementSettings, refine
from ptycho.refinement._tensorflow_sums import TensorFlowSums


def faded(truth):
    """The object at less than its contrast."""
    return PlacedImage((0.3 + 0.7 * truth).astype(np.complex64), np.ones(truth.shape, bool), (0.0, 0.0))


def test_the_graph_equals_the_compiled_loops_whatever_the_batch(monkeypatch):
    scan = simulate(
        SimulationSettings(
            patch_size=32, object_shape_yx=(66, 74), n_lines=25, step_px=8.0, seed=4, defocus=5.0
        )
    )
    mask = np.ones((32, 32), bool)
    mask[12:20, 3:9] = False
    scan, start = scan.with_mask(mask), faded(scan.object_guess)
    settings = RefinementSettings(sweeps=2, mini_batch=10, batch_size=4)
    expected = refine(start, scan, settings)
    made = []

    def make_sums(state, settings):
        made.append(TensorFlowSums(state, alpha=settings.alpha, device="CPU:0"))
        return made[-1]

    monkeypatch.setattr("ptycho.refinement._refine.make_sums", make_sums)
    found = refine(start, scan, settings)
    np.testing.assert_allclose(found.image.values, expected.image.values, atol=1e-5)
    np.testing.assert_allclose(found.image.coverage, expected.image.coverage, atol=1e-5)
    np.testing.assert_allclose(found.change, expected.change, atol=1e-5)
    assert [sweep.r_factor for sweep in found.sweeps] == pytest.approx(
        [sweep.r_factor for sweep in expected.sweeps], abs=1e-6
    )
    # A graph for the full size and one for any other.
    assert made[0].n_traces <= 2


@pytest.mark.gpu
def test_a_card_gives_the_image_of_the_cpu():
    scan = simulate(SimulationSettings(object_shape_yx=(120, 140), step_px=9.0, seed=4))
    start = faded(scan.object_guess)
    on_card, on_cpu = (refine(start, scan, RefinementSettings(device=device)) for device in ("GPU:0", None))
    np.testing.assert_allclose(on_card.image.values, on_cpu.image.values, atol=1e-5)


@pytest.mark.parametrize("wanted", ["refine_probe", "refine_positions"])
def test_a_card_refines_the_object_alone(wanted):
    with pytest.raises(SettingsError, match="refined on the CPU only; drop the device"):
        RefinementSettings(device="GPU:0", **{wanted: True})
    assert not RefinementSettings(device="cpu", **{wanted: True}).on_card
