"""Shards on the workers of a cluster of Dask's: the same bits, and one sentence for whatever is lacking."""

import os
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from oracle_model import OracleModel, lopsided_scan
from thread_cluster import client_of_threads, forget_distributed

from autobatch import BatchCost, DeviceMemory, NoProgress, device_memory
from autobatch.testing import inject_oom
from ptycho.data import write_npz
from ptycho.distributed import (
    ClusterRefiner,
    ClusterRunner,
    WorkerDevices,
    check_scheduler,
    check_workers,
    cluster_client,
    device_client,
    import_distributed,
    refine_files,
)
from ptycho.distributed.refiner import _Following
from ptycho.distributed.watching import Watch, seconds_between
from ptycho.errors import DataError, SettingsError
from ptycho.image import place_image
from ptycho.reconstruction import Checkpointing, InferenceSettings, reconstruct
from ptycho.reconstruction.job import InferenceJob
from ptycho.refinement import RefinementSettings, SweepCheckpointing, refine
from ptycho.refinement.checkpoint import SweepStore

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")

SETTINGS = InferenceSettings(
    crop_size=15,
    predict_batch_size=16,
    self_consistency=True,
    mean_centred=True,
    verdict=True,
    shard_size=40,
)


@dataclass
class CheapOracle(OracleModel):
    """Knows its cost; may refuse a frame."""

    refuses: int = -1

    def batch_cost(self, frame_shape):
        return BatchCost(bytes_per_item=1 << 16)

    def predict_batch(self, frames, offsets_yx=None):
        if self.refuses >= 0:
            wanted = self.scan.amplitude[self.refuses] * np.float32(self.scan.normalisation)
            if any(np.array_equal(frame[..., 0], wanted) for frame in frames):
                raise OSError(5, "the disk is on fire", "/data/scan.npz")
        return super().predict_batch(frames, offsets_yx)


@pytest.fixture(scope="module")
def scan():
    return lopsided_scan()


@pytest.fixture(scope="module")
def client():
    """Two workers that are threads of this process."""
    with client_of_threads() as found:
        yield found


@pytest.fixture
def runner(client, scan):
    return ClusterRunner(client=client, open_model=partial(CheapOracle, scan), open_scan=lopsided_scan)


@pytest.fixture(scope="module")
def whole(scan):
    return reconstruct(CheapOracle(scan), scan, SETTINGS)


@pytest.fixture(scope="module")
def expected(whole):
    return bits_of(whole)


def bits_of(run):
    arrays = [run.image.values, run.image.coverage, run.mean_centred, run.half_sets.overlap_variance]
    arrays += [run.patch_misfit.detector_map, run.patch_misfit.object_map]
    return b"".join(array.tobytes() for array in arrays) + repr(run.patch_misfit.worst_frames).encode()


def run_on(runner, scan, settings=SETTINGS, **others):
    return reconstruct(runner.open_model(), scan, settings, runner=runner, **others)


def test_workers_make_the_same_bits_as_one_process(runner, scan, expected):
    run = run_on(runner, scan)
    assert bits_of(run) == expected
    assert run.sharding.n_shards == 8
    assert len(run.sharding.workers) == 2
    assert run.sharding.redone == run.sharding.resumed == ()
    assert sum(run.prediction.batch_sizes) == scan.n_frames


def test_dask_knows_how_large_sums_are(runner, scan):
    from ptycho.distributed._worker import Branch

    job = InferenceJob.of(runner.open_model(), scan, SETTINGS)
    branch = Branch(sums=job.sums(0, 40), origins={0: "done"}, workers=frozenset())
    arrays = [array for state in branch.sums.canvases.parts for array in state.fields().values()]
    assert dask.sizeof.sizeof(branch) >= sum(array.nbytes for array in arrays) > 10_000


class Shown(NoProgress):
    """Keeps what each part of the stages was told."""

    def __init__(self):
        self.told = []

    def stage(self, label, total, unit="items"):
        return ShownStage(label, self.told)


class ShownStage:
    def __init__(self, label, told):
        self.label, self.told = label, told

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def advance(self, n_items):
        self.told.append((self.label, n_items))

    def batch_size(self, size, reason):
        self.told.append((self.label, f"batch size {size}"))

    def memory(self, memory):
        self.told.append((self.label, memory))

    def note(self, text):
        self.told.append((self.label, text))

    def part(self, label):
        return ShownStage(label, self.told)


def test_each_worker_is_shown_with_its_patches_batch_size_and_memory(runner, scan):
    shown = Shown()
    run_on(runner, scan, progress=shown, label="net")
    workers = {label for label, _ in shown.told} - {"net", "net: start"}
    assert workers == {"worker 0", "worker 1"}
    counts = dict.fromkeys(("net", "net: start", *workers), 0)
    for label, told in shown.told:
        counts[label] += told if isinstance(told, int) else 0
    assert counts["net"] == counts["worker 0"] + counts["worker 1"] == scan.n_frames
    assert counts["net: start"] == 2
    assert ("worker 0", "batch size 16") in shown.told
    assert all(told.used_bytes > 1 << 20 for _, told in shown.told if isinstance(told, DeviceMemory))


def test_a_worker_that_is_lost_is_shown(caplog):
    shown = Shown()
    watch = Watch(shown.stage("net", 10))
    told = {"worker": "tcp://10.0.0.7:4", "name": "tcp://10.0.0.7:4", "done": 0, "size": 0}
    watch.hear((0.0, told | {"begun": 3, "used_bytes": 5, "total_bytes": None}))
    gone = {"action": "remove-worker", "worker": "tcp://10.0.0.7:4"}
    for message in ("some text", gone | {"worker": "tcp://10.0.0.8:4"}, gone | {"expected": True}):
        watch.hear_of_cluster((1.0, message))
    assert not caplog.text
    watch.hear_of_cluster((2.0, gone))
    assert "the worker tcp://10.0.0.7:4 is lost; Dask does its work elsewhere" in caplog.text
    assert shown.told[-1] == ("worker 10.0.0.7:4", "lost")
    assert watch.begun == {3: 1}


def test_a_thousand_workers_tell_no_more_often_than_the_scheduler_takes():
    assert [seconds_between(n_workers) for n_workers in (1, 200, 1000)] == [1.0, 1.0, 5.0]


def test_a_cluster_goes_on_with_what_another_run_has_kept(runner, scan, tmp_path, expected):
    reconstruct(runner.open_model(), scan, SETTINGS, checkpoint=Checkpointing(tmp_path))
    for number in (1, 4, 5):
        (tmp_path / f"shard-{number:07d}.npz").unlink()
    damaged = tmp_path / "shard-0000003.npz"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    run = run_on(runner, scan, checkpoint=Checkpointing(tmp_path, resume=True))
    assert bits_of(run) == expected
    assert run.sharding.resumed == (0, 2, 6, 7)
    assert run.sharding.redone == (3,)


def test_memory_that_runs_out_costs_a_batch_size_and_no_worker(runner, scan, whole):
    with inject_oom(at=[1], form="memory_error", label="patches"):
        run = run_on(runner, scan)
    assert run.prediction.n_oom == 1
    # The stand-in's patches do not depend on the batch.
    np.testing.assert_array_equal(run.image.values, whole.image.values)
    assert run.sharding.redone == ()


def test_a_shard_that_fails_three_times_ends_the_run_with_its_number_and_the_cause(runner, scan):
    refusing = replace(runner, open_model=partial(CheapOracle, scan, refuses=95))
    with pytest.raises(
        DataError, match=r"shard 2 \(patches 80 to 119\) failed 3 times: .*the disk is on fire"
    ):
        run_on(refusing, scan)


def test_a_worker_that_opens_another_scan_is_refused(runner, scan):
    other = replace(runner, open_scan=partial(lopsided_scan, seed=4))
    with pytest.raises(DataError, match=r"opened another model or scan, which differs in scan\.frames"):
        run_on(other, scan)


def test_a_model_that_a_worker_cannot_open_is_told_before_any_shard(runner, scan):
    lacking = ClusterRunner(
        client=runner.client, open_model=partial(np.load, "/nowhere/model.npy"), open_scan=lopsided_scan
    )
    with pytest.raises(DataError, match=r"could not open model and scan \(.*No such file"):
        reconstruct(runner.open_model(), scan, SETTINGS, runner=lacking)


def test_patches_on_workers_cannot_be_looked_at(runner, scan):
    with pytest.raises(DataError, match="drop `observer`, or `runner`"):
        run_on(runner, scan, observer=lambda *_: None)


def test_a_file_that_workers_do_not_see_is_named(client, tmp_path):
    with pytest.raises(
        DataError, match=r"does not see .*gone\.npz; put it on storage that all machines have"
    ):
        check_workers(client, [str(tmp_path), str(tmp_path / "gone.npz")], None)


def test_a_worker_with_another_version_is_named(client, monkeypatch):
    from ptycho.distributed import checking

    monkeypatch.setattr(checking, "versions", lambda packages: {"numpy": "0.9"} if packages else {})
    with pytest.raises(
        DataError, match=rf"has numpy {np.__version__} but 0\.9 is used here; install the same"
    ):
        check_workers(client, [], None)


def test_a_scheduler_without_this_program_is_told(client, monkeypatch):
    def run_on_scheduler(function, packages):
        raise ModuleNotFoundError("No module named 'ptycho'")

    monkeypatch.setattr(client, "run_on_scheduler", run_on_scheduler)
    with pytest.raises(
        DataError, match=r"the scheduler at inproc\S+ cannot pass on .*No module named 'ptycho'"
    ):
        check_workers(client, [], None)


def test_a_scheduler_with_another_version_is_named(client, monkeypatch):
    monkeypatch.setattr(client, "run_on_scheduler", lambda function, packages: {"ptycho-autobatch": "0.0.9"})
    with pytest.raises(DataError, match=r"the scheduler at inproc\S+ has ptycho-autobatch 0\.0\.9 but "):
        check_workers(client, [], None)


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="the superuser may write everywhere")
def test_a_checkpoint_that_workers_cannot_write_is_named(client, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot write to"):
        check_workers(client, [], str(tmp_path))


def test_workers_that_can_do_the_work_are_listed(client, tmp_path):
    assert len(check_workers(client, [str(tmp_path)], str(tmp_path / "made" / "later"))) == 2


def test_a_scheduler_without_workers_is_told():
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        distributed.Client(cluster) as lonely,
        pytest.raises(DataError, match=r"has no worker after 0\.2 s; start some with `dask worker "),
    ):
        check_workers(lonely, [], None, timeout_s=0.2)


def start_of(scan):
    return place_image(np.full((150, 180), 0.9 + 0.1j, np.complex64), origin_yx=(0, 0), shape_yx=(150, 180))


def test_a_refinement_on_a_worker_makes_the_same_bits(client, scan):
    settings, shown = RefinementSettings(sweeps=3, refine_positions=True), Shown()
    there = ClusterRefiner(client=client, open_scan=lopsided_scan)
    run = there(start_of(scan), scan, settings, progress=shown, label="net + 3 sweeps")
    here = refine(start_of(scan), scan, settings)
    np.testing.assert_array_equal(run.image.values, here.image.values)
    np.testing.assert_array_equal(run.positions_yx, here.positions_yx)
    assert [sweep.r_factor for sweep in run.sweeps] == [sweep.r_factor for sweep in here.sweeps]
    counts = [told for label, told in shown.told if label == "net + 3 sweeps"]
    assert sum(counts) == 3 * scan.n_frames


def test_a_refinement_that_fails_on_a_worker_goes_on_with_its_last_sweep(client, scan, tmp_path, monkeypatch):
    done, write = [], SweepStore.write

    def fail_once(self, kept):
        done.append(len(kept.records))
        if done == [1, 2]:
            raise OSError(28, "No space left on device", str(self.path))
        write(self, kept)

    monkeypatch.setattr(SweepStore, "write", fail_once)
    settings = RefinementSettings(sweeps=3)
    there = ClusterRefiner(client=client, open_scan=lopsided_scan)
    run = there(start_of(scan), scan, settings, checkpoint=SweepCheckpointing(tmp_path))
    np.testing.assert_array_equal(run.image.values, refine(start_of(scan), scan, settings).image.values)
    assert done == [1, 2, 2, 3]
    with pytest.raises(DataError, match="holds the checkpoint of an earlier run; pass `resume=True`"):
        there(start_of(scan), scan, settings, checkpoint=SweepCheckpointing(tmp_path))


def test_frames_that_are_refined_again_are_counted_once():
    shown = Shown()
    watch = _Following(shown.stage("net", 100))
    for done in (0, 32, 64, 0, 32, 96):
        told = {"worker": "tcp://a:1", "name": "0", "size": 0, "used_bytes": 5, "total_bytes": 9}
        watch.hear((0.0, told | {"done": done}))
    assert sum(told for label, told in shown.told if label == "net") == 96


def test_a_refinement_of_a_file_needs_it_on_every_worker(client, scan, tmp_path):
    write_npz(tmp_path / "scan.npz", scan)
    run = refine_files(tmp_path / "scan.npz", client=client)
    np.testing.assert_array_equal(run.image.values, refine(None, scan).image.values)
    missing = ClusterRefiner(client=client, open_scan=lopsided_scan, paths=(str(tmp_path / "gone.npz"),))
    with pytest.raises(DataError, match=r"does not see .*gone\.npz"):
        missing(None, scan)


def test_a_refinement_of_other_frames_fails_with_the_cause(client, scan):
    other = ClusterRefiner(client=client, open_scan=partial(lopsided_scan, seed=4))
    with pytest.raises(
        DataError,
        match=r"failed 3 times on workers: the worker .* opened another scan, which differs in scan\.frames",
    ):
        other(None, scan)


@pytest.mark.parametrize(
    "name", ["local:1", "local:12", "tcp://10.0.0.1:8786", "tls://head:8786", "/shared/scheduler.json"]
)
def test_schedulers_that_are_known(name):
    assert check_scheduler(name) == name


@pytest.mark.parametrize("name", ["local", "local:0", "local:x", "10.0.0.1:8786", "scheduler.yaml", ""])
def test_other_schedulers_are_refused(name):
    with pytest.raises(SettingsError, match=r"must be local:N, an address such as tcp://host:8786, or"):
        check_scheduler(name)


@dataclass
class Cancelling(NoProgress):
    """Takes all futures away once something is done, as a scheduler does that is lost."""

    client: object

    def stage(self, label, total, unit="items"):
        stage = super().stage(label, total, unit)
        if unit == "patches":
            stage.advance = lambda n_items: self.client.cancel(
                [distributed.Future(key, self.client) for key in list(self.client.futures)], force=True
            )
        return stage


def test_a_scheduler_that_is_lost_is_told_with_what_to_do(runner, scan):
    said = r"the scheduler at inproc\S+ was lost in the middle, .* go on with `resume=True`\."
    settings = replace(SETTINGS, shard_size=4)
    # Its own client, which a scheduler may forget for ever if it trips over what it is asked to cancel.
    with client_of_threads() as client, pytest.raises(DataError, match=said):
        run_on(replace(runner, client=client), scan, settings, progress=Cancelling(client))


def test_a_scheduler_file_that_is_not_there_is_told(tmp_path):
    missing = tmp_path / "scheduler.json"
    with pytest.raises(DataError, match=r"scheduler\.json does not exist; start it with `dask scheduler"):
        cluster_client(str(missing)).__enter__()


CONFIG = {
    "deploy.lost-worker-timeout": "10 minutes",
    "scheduler.no-workers-timeout": "10 minutes",
    "scheduler.allowed-failures": 2,
    "nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}


@pytest.fixture
def started(monkeypatch):
    """What Dask is asked to start, which it does not."""
    asked = {}

    def begin(self, **arguments):
        asked.update(arguments)
        self.worker_spec, self._i, self.status = {}, 0, distributed.core.Status.closed
        self.new_spec = {"cls": distributed.Nanny, "options": {"nthreads": 1}}

    def scale(self, n_workers):
        while len(self.worker_spec) < n_workers:
            self.worker_spec.update(self.new_worker_spec())
        asked["config"] = {name: dask.config.get(f"distributed.{name}") for name in CONFIG}
        asked["environments"] = [spec["options"]["env"] for spec in self.worker_spec.values()]
        raise NotImplementedError

    monkeypatch.setattr(distributed.LocalCluster, "__init__", begin)
    monkeypatch.setattr(distributed.LocalCluster, "scale", scale)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setattr("ptycho.distributed.devices.available_threads", lambda: 8)
    return asked


def test_a_local_cluster_listens_on_loopback_alone_with_workers_of_one_thread(started):
    with pytest.raises(NotImplementedError):
        cluster_client("local:3").__enter__()
    assert (started["threads_per_worker"], started["processes"]) == (1, True)
    assert started["host"] == "127.0.0.1"
    assert started["dashboard_address"] == "127.0.0.1:0"
    assert started["memory_limit"] == device_memory("CPU").total_bytes // 4
    assert [each["TF_NUM_INTRAOP_THREADS"] for each in started["environments"]] == ["1"] * 3


def test_how_long_workers_are_waited_for_and_that_they_keep_freed_memory(started):
    with pytest.raises(NotImplementedError):
        cluster_client("local:2").__enter__()
    assert started["config"] == CONFIG


def test_workers_of_processors_share_the_threads_and_see_no_card(started):
    with pytest.raises(NotImplementedError):
        device_client(WorkerDevices.of("cpu:3")).__enter__()
    shares = [(each["NUMBA_NUM_THREADS"], each["CUDA_VISIBLE_DEVICES"]) for each in started["environments"]]
    assert shares == [("2", "-1")] * 3


@pytest.mark.parametrize(
    ("visible", "seen"), [(None, ["2", "0"]), ("4,5,MIG-a/7", ["MIG-a/7", "4"]), ("", ["2", "0"])]
)
def test_a_worker_of_a_card_sees_that_alone(started, monkeypatch, visible, seen):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    devices = WorkerDevices.of("gpu:2,GPU:0")
    with pytest.raises(NotImplementedError):
        device_client(devices).__enter__()
    assert [each["CUDA_VISIBLE_DEVICES"] for each in started["environments"]] == seen
    assert devices.name_on_worker == "GPU:0"


@pytest.mark.parametrize("text", ["GPU:0", "cpu", "cpu:0", "GPU:0,cpu", "GPU:0,", "cpu:1,cpu:2", "tpu", ""])
def test_what_is_no_list_of_devices_is_refused(text):
    with pytest.raises(SettingsError, match=r"must be cards such as GPU:0,GPU:1, or cpu:N for N workers"):
        WorkerDevices.of(text)


def test_a_card_has_one_worker():
    with pytest.raises(
        SettingsError, match=r"are 'GPU:1,gpu:1' but each card has one worker; name each once\."
    ):
        WorkerDevices.of("GPU:1,gpu:1")


def test_workers_that_do_not_start_are_told(monkeypatch):
    monkeypatch.setattr("ptycho.distributed.cluster._SECONDS_TO_START", 0.01)
    monkeypatch.setattr("ptycho.distributed._local.LocalWorkers.scale", lambda self, n_workers: None)
    with pytest.raises(DataError, match=r"0 of 2 workers have started within 0\.01 s; ask for fewer\."):
        cluster_client("local:2").__enter__()


def test_the_extra_that_is_missing_is_named_with_what_needs_it(monkeypatch):
    forget_distributed(monkeypatch)
    with pytest.raises(
        DataError, match=r"^a list of --device needs Dask, which is not installed; pip install"
    ):
        import_distributed("a list of --device")


def test_workers_compute_on_the_card_that_is_theirs(runner, scan):
    with pytest.raises(DataError, match="device is GPU:0 but TensorFlow sees"):
        run_on(replace(runner, device="GPU:0"), scan, replace(SETTINGS, device="CPU"))
