"""`--shard-size`, `--checkpoint`, `--resume` and `--scheduler` from the outside."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
from thread_cluster import client_of_threads, forget_distributed

from ptycho.cli.compare_models import main as compare
from ptycho.cli.reconstruct import main as reconstruct
from ptycho.cli.refine import main as refine
from ptycho.data import SimulationSettings, simulate, write_npz
from ptycho.distributed import ClusterRefiner, WorkerDevices
from ptycho.models.bundle import save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel
from ptycho.reconstruction.checkpoint import ShardStore
from ptycho.refinement.checkpoint import SweepStore


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharding")
    scan = simulate(SimulationSettings(object_shape_yx=(120, 140), n_lines=12, step_px=9.0, seed=4))
    write_npz(folder / "scan.npz", scan)
    architecture = Architecture(kind="baseline", patch_size=64, n_filters_scale=0.25)
    save_bundle(folder / "model", PatchModel(build_network(architecture), architecture))
    return folder


@pytest.fixture(autouse=True)
def plain_pictures(pictures):
    """Nothing is drawn."""


def words(folder, output, *flags):
    fixed = ("--model_dir", folder / "model", "--test_data", folder / "scan.npz", "--output_dir", output)
    sizes = ("--stitch-crop-size", 16, "--shard-size", 20, "--predict-batch-size", 8)
    return [str(word) for word in (*fixed, *sizes, *flags)]


def image_in(output):
    with np.load(output / "reconstruction.npz") as archive:
        return archive["reconstructed_object"].tobytes()


def sharding_in(output):
    (arm,) = json.loads((output / "run_report.json").read_text())["arms"]
    return arm["sharding"]


@pytest.fixture(scope="module")
def whole(workplace):
    output = workplace / "whole"
    assert reconstruct(words(workplace, output, "--quiet")) == 0
    return image_in(output), sharding_in(output)


def test_the_report_tells_how_a_run_was_cut(whole):
    _, sharding = whole
    assert sharding == {
        "n_shards": 4,
        "shard_size": 20,
        "predict_batch_size": 8,
        "resumed": [],
        "redone": [],
        "workers": [],
    }


@pytest.mark.spec("CM-5.10")
def test_a_stopped_run_goes_on_with_resume(workplace, whole, tmp_path, monkeypatch, capsys):
    output, kept = tmp_path / "out", tmp_path / "kept"
    write = ShardStore.write

    def stopped_after_two(self, number, sums):
        if number == 2:
            raise KeyboardInterrupt
        write(self, number, sums)

    with monkeypatch.context() as patched:
        patched.setattr(ShardStore, "write", stopped_after_two)
        assert reconstruct(words(workplace, output, "--checkpoint", kept)) == 130
    assert reconstruct(words(workplace, tmp_path / "other", "--checkpoint", kept)) == 2
    assert not list((tmp_path / "other").glob("**/*"))
    assert "pass --resume to go on with it, or another --checkpoint." in capsys.readouterr().err
    assert reconstruct(words(workplace, output, "--checkpoint", kept, "--resume")) == 0
    assert image_in(output) == whole[0]
    assert sharding_in(output)["resumed"] == [0, 1]
    # What is finished is resumed as it is, and its results may be replaced.
    assert reconstruct(words(workplace, output, "--checkpoint", kept, "--resume")) == 0
    assert sharding_in(output)["resumed"] == [0, 1, 2, 3]
    assert image_in(output) == whole[0]


@pytest.mark.spec("CM-5.10")
def test_sweeps_over_an_image_go_on_with_resume(workplace, tmp_path, monkeypatch, capsys):
    images, n_kept, write = [], [], SweepStore.write

    def stop_after_one(self, kept):
        n_kept.append(len(kept.records))
        if n_kept == [1, 2]:
            raise KeyboardInterrupt
        write(self, kept)

    monkeypatch.setattr(SweepStore, "write", stop_after_one)
    scan, kept = ["--test_data", str(workplace / "scan.npz")], ["--checkpoint", str(tmp_path / "kept")]

    def run(output, *flags):
        return refine([*scan, "--sweeps", "3", "--output_dir", str(tmp_path / output), *flags])

    assert run("out", *kept) == 130
    assert "goes on with --resume" in capsys.readouterr().err
    assert [run("out", *kept, "--resume"), run("whole")] == [0, 0]
    for output in ("out", "whole"):
        with np.load(tmp_path / output / "refined.npz") as archive:
            images.append(archive["reconstructed_object"].tobytes())
    assert images[0] == images[1]
    assert n_kept == [1, 2, 2, 3]


@pytest.mark.spec("CM-5.10")
def test_a_finished_image_and_its_sweeps_are_resumed_as_they_are(
    workplace, whole, tmp_path, monkeypatch, caplog
):
    flags = ("--checkpoint", tmp_path / "kept", "--refine", 1)
    assert reconstruct(words(workplace, tmp_path / "out", *flags)) == 0
    done = []
    monkeypatch.setattr(SweepStore, "write", lambda self, kept: done.append(self))
    assert reconstruct(words(workplace, tmp_path / "out", *flags, "--resume")) == 0
    assert image_in(tmp_path / "out") == whole[0]
    assert done == []
    assert "nothing to go on with" not in caplog.text


def test_other_results_are_not_replaced_by_a_run_that_begins(workplace, tmp_path, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "reconstruction.npz").write_text("of another run")
    flags = ("--checkpoint", tmp_path / "kept", "--resume")
    assert reconstruct(words(workplace, output, *flags)) == 2
    assert "already holds results" in capsys.readouterr().err


def test_a_draw_that_nobody_could_repeat_is_refused(workplace, tmp_path, capsys):
    flags = ("--demo", "--n-test-subsample", "9", "--checkpoint", str(tmp_path / "kept"))
    assert compare([*flags, "--output_dir", str(tmp_path / "out")]) == 2
    assert "9 frames are drawn without a seed" in capsys.readouterr().err


def test_resume_needs_a_checkpoint(workplace, tmp_path, capsys):
    assert reconstruct(words(workplace, tmp_path / "out", "--resume")) == 2
    assert "add --checkpoint DIR." in capsys.readouterr().err


def test_a_scheduler_is_named_right(workplace, tmp_path, capsys):
    with pytest.raises(SystemExit):
        reconstruct(words(workplace, tmp_path / "out", "--scheduler", "10.0.0.1:8786"))
    assert "none of local:N, an address such as tcp://host:8786, and FILE.json" in capsys.readouterr().err


def test_a_scheduler_file_that_is_missing_is_told_before_any_work(workplace, tmp_path, capsys):
    pytest.importorskip("distributed")
    output = tmp_path / "out"
    assert reconstruct(words(workplace, output, "--scheduler", tmp_path / "scheduler.json")) == 2
    assert "does not exist; start it with `dask scheduler --scheduler-file" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--device", "cpu:2", "--scheduler", "local:2"), "drop one of them."),
        (("--device", "cpu:2", "--baseline-debug-limit", "3"), "drop these, or a list of --device."),
        (("--scheduler", "local:2", "--baseline-debug-dir", "d"), "drop these, or --scheduler."),
    ],
)
def test_what_workers_cannot_do_is_told_before_any_work(tmp_path, capsys, flags, said):
    assert compare(["--demo", "--output_dir", str(tmp_path / "out"), *flags]) == 2
    assert said in capsys.readouterr().err


def test_the_extra_that_a_list_of_devices_needs_is_named_before_any_work(tmp_path, capsys, monkeypatch):
    forget_distributed(monkeypatch)
    assert compare(["--demo", "--output_dir", str(tmp_path / "out"), "--device", "cpu:2"]) == 2
    said = (
        "a list of --device needs Dask, which is not installed; pip install 'ptycho-autobatch[distributed]'."
    )
    assert said in capsys.readouterr().err


@pytest.mark.spec("CM-5.8")
def test_every_card_of_a_list_has_to_be_there(tmp_path, capsys):
    pytest.importorskip("distributed")
    assert compare(["--demo", "--output_dir", str(tmp_path / "out"), "--device", "GPU:98,GPU:99"]) == 2
    assert "device is GPU:98 but TensorFlow sees no GPU" in capsys.readouterr().err


@pytest.fixture(scope="module")
def threads():
    pytest.importorskip("distributed")
    with client_of_threads() as client:
        yield client


@pytest.fixture
def threads_for_a_cluster(monkeypatch, threads):
    """`local:2` and `cpu:2` as threads of this process, which start at once."""

    @contextmanager
    def client_of(workers):
        assert workers in ("local:2", WorkerDevices(("CPU", "CPU")))
        yield threads

    monkeypatch.setattr("ptycho.distributed.cluster_client", client_of)
    monkeypatch.setattr("ptycho.distributed.device_client", client_of)


@pytest.mark.parametrize("flags", [("--scheduler", "local:2"), ("--device", "cpu:2")])
def test_workers_of_a_cluster_open_model_and_scan_themselves(
    workplace, whole, tmp_path, threads_for_a_cluster, flags
):
    output = tmp_path / "out"
    assert reconstruct(words(workplace, output, *flags)) == 0
    assert image_in(output) == whole[0]
    assert len(sharding_in(output)["workers"]) >= 1


def test_a_refinement_is_done_on_a_worker(workplace, tmp_path, threads_for_a_cluster, caplog):
    images = []
    for number, flags in enumerate([("--device", "cpu:2"), ("--scheduler", "local:2")]):
        output = tmp_path / str(number)
        words = ["--test_data", workplace / "scan.npz", "--output_dir", output, "--sweeps", "2", *flags]
        assert refine([str(word) for word in words]) == 0
        with np.load(output / "refined.npz") as archive:
            images.append(archive["reconstructed_object"].tobytes())
    assert images[0] == images[1]
    assert "each step of a sweep needs the one before, so that CPU alone does them" in caplog.text


def test_both_the_shards_and_the_sweeps_go_to_workers(
    workplace, whole, tmp_path, threads_for_a_cluster, monkeypatch
):
    sent = []
    improve = ClusterRefiner.__call__
    monkeypatch.setattr(
        ClusterRefiner,
        "__call__",
        lambda self, *rest, **named: sent.append(self) or improve(self, *rest, **named),
    )
    flags = ("--scheduler", "local:2", "--refine", 1)
    assert reconstruct(words(workplace, tmp_path / "out", *flags)) == 0
    assert image_in(tmp_path / "out") == whole[0]
    assert (tmp_path / "out" / "refined.npz").exists()
    assert [refiner.paths for refiner in sent] == [(str(workplace / "scan.npz"),)]


@pytest.mark.spec("CM-5.10")
def test_every_arm_of_a_comparison_has_its_own_checkpoint(workplace, tmp_path, threads_for_a_cluster):
    arms = [f"{label}={workplace / 'model'}" for label in ("First net", "second")]
    flags = ["--arm", arms[0], "--arm", arms[1], "--test_data", workplace / "scan.npz"]
    flags += [
        "--stitch-crop-size",
        16,
        "--shard-size",
        20,
        "--n-test-subsample",
        30,
        "--test-subsample-seed",
        3,
    ]
    flags += ["--checkpoint", tmp_path / "kept", "--output_dir", tmp_path / "out", "--scheduler", "local:2"]
    assert compare([str(flag) for flag in flags]) == 0
    assert {folder.name for folder in (tmp_path / "kept").iterdir()} == {"first_net", "second"}
    report = json.loads((tmp_path / "out" / "run_report.json").read_text())
    assert [arm["sharding"]["n_shards"] for arm in report["arms"]] == [2, 2]
