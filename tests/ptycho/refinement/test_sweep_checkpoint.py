"""The last finished sweep is kept, and a refinement that was killed goes on with it to the same bits."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import SimulationSettings, simulate
from ptycho.errors import DataError
from ptycho.image import PlacedImage
from ptycho.refinement import RefinementSettings, SweepCheckpointing, refine
from ptycho.refinement.checkpoint import SweepStore

SETTINGS = RefinementSettings(
    sweeps=4, mini_batch=10, seed=5, refine_probe=True, refine_positions=True, max_position_shift_px=2
)


@pytest.fixture(scope="module")
def scan():
    return simulate(
        SimulationSettings(patch_size=32, object_shape_yx=(64, 75), n_lines=25, step_px=6.5, seed=4)
    )


def digest(run):
    arrays = (run.image.values, run.image.coverage, run.change, run.probe, run.positions_yx)
    told = [(sweep.r_factor, sweep.change, sweep.n_oom) for sweep in run.sweeps]
    return b"".join(array.tobytes() for array in arrays) + repr(told).encode()


@pytest.fixture(scope="module")
def whole(scan):
    return digest(refine(None, scan, SETTINGS))


def stopped_after(n_sweeps, scan, folder, monkeypatch):
    write = SweepStore.write

    def stop(self, kept):
        if len(kept.records) > n_sweeps:
            raise KeyboardInterrupt
        write(self, kept)

    with monkeypatch.context() as patched:
        patched.setattr(SweepStore, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            refine(None, scan, SETTINGS, checkpoint=SweepCheckpointing(folder))


@pytest.mark.parametrize("n_sweeps", [0, 1, 2, 3])
def test_sweeps_that_were_stopped_go_on_to_the_same_bits(scan, whole, tmp_path, monkeypatch, n_sweeps):
    stopped_after(n_sweeps, scan, tmp_path, monkeypatch)
    done = []
    write = SweepStore.write
    monkeypatch.setattr(
        SweepStore, "write", lambda self, kept: done.append(len(kept.records)) or write(self, kept)
    )
    run = refine(None, scan, SETTINGS, checkpoint=SweepCheckpointing(tmp_path, resume=True))
    assert digest(run) == whole
    assert done == [1, 2, 3, 4][n_sweeps:]


def test_a_refinement_that_is_finished_goes_on_to_more_sweeps(scan, whole, tmp_path):
    fewer = replace(SETTINGS, sweeps=3)
    refine(None, scan, fewer, checkpoint=SweepCheckpointing(tmp_path))
    again = SweepCheckpointing(tmp_path, resume=True)
    assert digest(refine(None, scan, SETTINGS, checkpoint=again)) == whole
    with pytest.raises(DataError, match="holds 4 sweeps but 3 are wanted; ask for as many"):
        refine(None, scan, fewer, checkpoint=again)


def test_a_checkpoint_that_a_crash_has_cut_is_of_no_use(scan, whole, tmp_path, monkeypatch, caplog):
    stopped_after(2, scan, tmp_path, monkeypatch)
    kept = tmp_path / "sweeps.npz"
    kept.write_bytes(kept.read_bytes()[:-200])
    run = refine(None, scan, SETTINGS, checkpoint=SweepCheckpointing(tmp_path, resume=True))
    assert digest(run) == whole
    assert "sweeps.npz is damaged" in caplog.text
    assert "the sweeps begin anew" in caplog.text


def test_sweeps_of_another_run_are_not_gone_on_with(scan, whole, tmp_path, monkeypatch, caplog):
    stopped_after(2, scan, tmp_path / "mine", monkeypatch)
    other = replace(SETTINGS, sweeps=3, alpha=0.3)
    refine(None, scan, other, checkpoint=SweepCheckpointing(tmp_path / "other"))
    shutil.copy(tmp_path / "other" / "sweeps.npz", tmp_path / "mine" / "sweeps.npz")
    run = refine(None, scan, SETTINGS, checkpoint=SweepCheckpointing(tmp_path / "mine", resume=True))
    assert digest(run) == whole
    assert "sweeps.npz is damaged (it is of another run); the sweeps begin anew" in caplog.text


def test_a_checkpoint_of_another_run_is_refused_with_what_differs(scan, tmp_path, monkeypatch):
    stopped_after(2, scan, tmp_path, monkeypatch)
    again = SweepCheckpointing(tmp_path, resume=True)
    with pytest.raises(
        DataError, match=r"differs in settings\.alpha \(0\.5 there, 0\.3 here\); run with the"
    ):
        refine(None, scan, replace(SETTINGS, alpha=0.3), checkpoint=again)
    with pytest.raises(DataError, match=r"differs in scan\.probe"):
        refine(None, replace(scan, probe=1.01 * scan.probe), SETTINGS, checkpoint=again)
    other = PlacedImage(scan.object_guess, np.ones(scan.object_guess.shape, bool), (0.0, 0.0))
    with pytest.raises(
        DataError, match=r"differs in image\.values; .* or pass another `SweepCheckpointing\.folder`"
    ):
        refine(other, scan, SETTINGS, checkpoint=again)
    with pytest.raises(
        DataError,
        match=r"of an earlier run; pass `resume=True` to go on with it, or another `SweepCheckpointing\.folder`",
    ):
        refine(None, scan, SETTINGS, checkpoint=SweepCheckpointing(tmp_path))


def test_with_nothing_to_go_on_with_it_begins_afresh_and_says_so(scan, whole, tmp_path, caplog):
    run = refine(None, scan, SETTINGS, checkpoint=SweepCheckpointing(tmp_path / "new", resume=True))
    assert digest(run) == whole
    assert "holds nothing to go on with; the run begins afresh" in caplog.text
