"""A run that was killed goes on where it stopped, and with nothing else."""

import json
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
from oracle_model import OracleModel, lopsided_scan

from autobatch import BatchCost, BatchPlan
from ptycho._io.manifest import MANIFEST
from ptycho.errors import DataError
from ptycho.reconstruction import Checkpointing, InferenceSettings, reconstruct

SETTINGS = InferenceSettings(
    crop_size=15,
    predict_batch_size=16,
    self_consistency=True,
    mean_centred=True,
    verdict=True,
    shard_size=40,
)


class KilledError(Exception):
    """Stands for SIGKILL: nothing catches it."""


class MortalModel(OracleModel):
    """Ends the run at a given call, and counts the frames that it was given."""

    calls_left = None
    n_frames = 0

    def batch_cost(self, frame_shape):
        # The network's own takes a second to find.
        return BatchCost(bytes_per_item=1 << 16)

    def predict_batch(self, frames, offsets_yx=None):
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise KilledError
        self.n_frames += int(frames.any(axis=(1, 2, 3)).sum())  # without padding
        return super().predict_batch(frames, offsets_yx)


@pytest.fixture(scope="module")
def scan():
    return lopsided_scan()


@pytest.fixture
def model(scan):
    return MortalModel(scan)


@pytest.fixture(scope="module")
def expected(scan):
    return bits_of(reconstruct(OracleModel(scan), scan, SETTINGS))


def bits_of(run):
    arrays = [run.image.values, run.image.coverage, run.mean_centred, run.half_sets.overlap_variance]
    arrays += [run.patch_misfit.detector_map, run.patch_misfit.object_map]
    return b"".join(array.tobytes() for array in arrays) + repr(run.patch_misfit.worst_frames).encode()


def interrupted(model, scan, folder, calls):
    model.calls_left = calls
    with pytest.raises(KilledError):
        reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(folder))
    model.calls_left, model.n_frames = None, 0


def test_a_killed_run_goes_on_and_comes_to_the_same_bits(model, scan, tmp_path, expected):
    interrupted(model, scan, tmp_path, calls=7)  # two shards of three batches are done, and one batch
    run = reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path, resume=True))
    assert bits_of(run) == expected
    assert run.sharding.resumed == (0, 1)
    assert model.n_frames == scan.n_frames - 80
    assert run.prediction.n_items == scan.n_frames
    assert sum(run.prediction.batch_sizes) == scan.n_frames


def test_ten_kills_at_random_moments_cost_no_more_than_a_shard_each(model, scan, tmp_path, expected):
    draw, n_killed = random.Random(19), 0
    while n_killed < 10:
        model.calls_left = draw.randrange(1, 6)
        try:
            reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path, resume=n_killed > 0))
        except KilledError:
            n_killed += 1
        else:
            break
    model.calls_left = None
    run = reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path, resume=True))
    assert n_killed >= 3
    assert bits_of(run) == expected
    assert model.n_frames <= scan.n_frames + n_killed * 40


def test_a_truncated_shard_is_discarded_and_done_anew(model, scan, tmp_path, expected, caplog):
    reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path))
    shard = tmp_path / "shard-0000002.npz"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    model.n_frames = 0
    run = reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path, resume=True))
    assert bits_of(run) == expected
    assert run.sharding.redone == (2,)
    assert run.sharding.resumed == tuple(n for n in range(run.sharding.n_shards) if n != 2)
    assert model.n_frames == 40
    assert "shard-0000002.npz" in caplog.text
    assert "is done anew" in caplog.text
    # It has been replaced, too.
    assert shard.read_bytes() != whole[: len(whole) // 2]


def test_a_shard_of_another_run_is_done_anew(model, scan, tmp_path, expected, caplog):
    mine, other = tmp_path / "mine", tmp_path / "other"
    reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(mine))
    reconstruct(model, scan, replace(SETTINGS, seed=5), checkpoint=Checkpointing(other))
    shutil.copy(other / "shard-0000001.npz", mine / "shard-0000001.npz")
    run = reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(mine, resume=True))
    assert run.sharding.redone == (1,)
    assert bits_of(run) == expected
    assert "shard-0000001.npz is a shard of another run. That shard is done anew" in caplog.text


@pytest.mark.parametrize("where", [0.2, 0.5, 0.8])
def test_a_shard_with_a_flipped_bit_is_done_anew(model, scan, tmp_path, expected, where):
    reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path))
    shard = tmp_path / "shard-0000001.npz"
    damaged = bytearray(shard.read_bytes())
    damaged[int(where * len(damaged))] ^= 0x10
    shard.write_bytes(damaged)
    run = reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path, resume=True))
    assert run.sharding.redone == (1,)
    assert bits_of(run) == expected


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"crop_size": 14}, r"settings.crop_size \(15 there, 14 here\)"),
        ({"seed": 5}, r"settings.seed \(0 there, 5 here\)"),
        ({"shard_size": 41}, r"settings.shard_size \(40 there, 41 here\)"),
        ({"predict_batch_size": 8}, r"settings.predict_batch_size \(16 there, 8 here\)"),
    ],
)
def test_other_settings_are_refused_with_what_differs(model, scan, tmp_path, changes, named):
    interrupted(model, scan, tmp_path, calls=4)
    with pytest.raises(DataError, match=named):
        reconstruct(
            model, scan, replace(SETTINGS, **changes), checkpoint=Checkpointing(tmp_path, resume=True)
        )


def test_another_scan_is_refused(model, scan, tmp_path):
    interrupted(model, scan, tmp_path, calls=4)
    positions_yx = scan.positions_yx.copy()
    positions_yx[40] += 0.25
    moved = replace(scan, positions_yx=positions_yx)
    with pytest.raises(DataError, match=r"another run, which differs in scan\.positions;"):
        reconstruct(MortalModel(moved), moved, SETTINGS, checkpoint=Checkpointing(tmp_path, resume=True))


def test_another_model_is_refused(model, scan, tmp_path, monkeypatch):
    monkeypatch.setattr(MortalModel, "weights_digest", lambda self: "1" * 64)
    interrupted(model, scan, tmp_path, calls=4)
    monkeypatch.setattr(MortalModel, "weights_digest", lambda self: "2" * 64)
    with pytest.raises(DataError, match=r"differs in model\.weights;"):
        reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path, resume=True))


def test_another_version_is_refused(model, scan, tmp_path):
    interrupted(model, scan, tmp_path, calls=4)
    manifest = tmp_path / MANIFEST
    said = json.loads(manifest.read_text())
    said["fingerprint"]["versions"]["numpy"] = "1.0"
    manifest.write_text(json.dumps(said))
    with pytest.raises(DataError, match=r"versions.numpy \(1.0 there, "):
        reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path, resume=True))


def test_a_checkpoint_is_not_gone_on_with_unasked(model, scan, tmp_path):
    interrupted(model, scan, tmp_path, calls=4)
    with pytest.raises(
        DataError, match=r"pass `resume=True` to go on with it, or another `Checkpointing.folder`"
    ):
        reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path))


def test_with_nothing_to_resume_the_run_begins_afresh_and_says_so(model, scan, tmp_path, expected, caplog):
    run = reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path / "new", resume=True))
    assert "holds nothing to go on with; the run begins afresh" in caplog.text
    assert bits_of(run) == expected
    assert run.sharding.resumed == ()


def test_a_damaged_manifest_makes_the_run_begin_afresh(model, scan, tmp_path, expected):
    interrupted(model, scan, tmp_path, calls=7)
    (tmp_path / MANIFEST).write_text("{")
    run = reconstruct(model, scan, SETTINGS, checkpoint=Checkpointing(tmp_path, resume=True))
    assert bits_of(run) == expected


def test_a_planned_batch_size_stays_the_one_that_the_run_began_with(model, scan, tmp_path, monkeypatch):
    settings = replace(SETTINGS, predict_batch_size="auto", max_predict_batch_size=24)
    model.calls_left = 5
    with pytest.raises(KilledError):
        reconstruct(model, scan, settings, checkpoint=Checkpointing(tmp_path))
    model.calls_left = None
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert manifest["predict_batch_size"] <= 24
    # Less memory is free by now.
    monkeypatch.setattr("ptycho.reconstruction.job.plan_batches", _planning(8))
    run = reconstruct(model, scan, settings, checkpoint=Checkpointing(tmp_path, resume=True))
    assert run.sharding.predict_batch_size == manifest["predict_batch_size"]


def _planning(size):
    return lambda *_, **__: BatchPlan(batch_size=size, reason="for the test", limited_by="given")


def test_a_shard_reads_back_as_it_was(model, scan, tmp_path):
    from ptycho.reconstruction.job import InferenceJob
    from ptycho.reconstruction.sharding import prepared, shard_of

    work = prepared(InferenceJob.of(model, scan, SETTINGS), Checkpointing(tmp_path))
    sums, origin = shard_of(work, 1)
    kept, kept_origin = shard_of(work, 1)
    assert (origin, kept_origin) == ("done", "kept")
    assert [part.digest() for part in kept.canvases.parts] == [part.digest() for part in sums.canvases.parts]
    assert kept.canvases.centred.digest() == sums.canvases.centred.digest()
    np.testing.assert_array_equal(kept.misfit.detector, sums.misfit.detector)
    assert kept.record.prediction.attempts == sums.record.prediction.attempts
    assert kept.record.prediction.plan.batch_size == 16
