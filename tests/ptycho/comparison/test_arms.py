"""What a path on the command line is taken for: a model, or a finished reconstruction."""

import dataclasses

import numpy as np
import pytest
from oracle_model import lopsided_scan
from peer_writers import write_frames, write_product
from ptychopinn_files import (
    baseline_description,
    pinn_description,
    write_bundle,
    write_keras2_baseline,
)

from ptycho.comparison import FinishedArm, load_arm
from ptycho.data import read_scan, subsample
from ptycho.errors import DataError
from ptycho.image import PlacedImage
from ptycho.models.bundle import save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel


@pytest.fixture
def run(tmp_path):
    """A folder of PtychoPINN's with both models, the baseline further down."""
    folder = tmp_path / "run"
    (folder / "09-10-2024").mkdir(parents=True)
    write_bundle(folder / "wts.h5.zip", pinn_description(64, 1, 0.25))
    write_keras2_baseline(folder / "09-10-2024" / "baseline_model.h5", *baseline_description(32, 0.25))
    return folder


@pytest.mark.spec("CM-2.6")
@pytest.mark.parametrize(
    ("inside", "role", "label", "patch_size"),
    [
        (".", "pinn", "PtychoPINN", 64),
        (".", "baseline", "Baseline", 32),
        ("wts.h5.zip", None, "PtychoPINN", 64),
        ("09-10-2024", None, "Baseline", 32),
        ("09-10-2024/baseline_model.h5", None, "Baseline", 32),
    ],
)
def test_a_model_of_ptychopinn_is_opened_by_folder_or_by_file(run, inside, role, label, patch_size):
    arm = load_arm(run / inside, role=role, max_predict_batch_size=7)
    assert isinstance(arm.model, PatchModel)
    assert (arm.label, arm.model.patch_size, arm.max_predict_batch_size) == (label, patch_size, 7)


def test_a_folder_of_this_project_stays_one_whatever_lies_below(run):
    architecture = Architecture(kind="baseline", patch_size=48, n_filters_scale=0.25)
    save_bundle(run, PatchModel(build_network(architecture), architecture))
    assert load_arm(run).model.patch_size == 48


def _made_of(path, scan):
    np.savez(
        path,
        reconstructed_object=np.ones(scan.object_guess.shape, complex),
        reconstructed_probe=np.ones((4, 4), complex),
        algorithm="ePIE",
        positions_yx=scan.positions_yx - (3.0, -2.0),
    )
    return path


@pytest.mark.spec("CM-7.3")
def test_a_reconstruction_of_the_drawn_frames_is_placed_by_them(tmp_path, caplog):
    scan = lopsided_scan()
    drawn = subsample(scan, 40, seed=3)
    assert load_arm(_made_of(tmp_path / "a.npz", drawn), scan=scan, subset=drawn).image.origin_yx == (3, -2)
    assert not caplog.records
    one_less = scan.select(np.arange(1, scan.n_frames))
    assert load_arm(_made_of(tmp_path / "b.npz", one_less), scan=scan, subset=drawn).image.origin_yx is None
    (record,) = caplog.records
    n = scan.n_frames
    assert f"ePIE has {n - 1} positions but the scan has {n} or 40" in record.getMessage()


def test_an_npz_is_a_finished_reconstruction(tmp_path):
    image = np.arange(12).reshape(3, 4) * (1 + 2j)
    path = tmp_path / "recon.npz"
    np.savez(path, reconstructed_object=image, reconstructed_probe=np.ones((2, 2), complex), algorithm="ePIE")
    arm = load_arm(path)
    assert arm.label == "ePIE"
    np.testing.assert_array_equal(arm.image.values, image.astype(np.complex64))


def test_a_file_of_another_package_is_a_finished_reconstruction(tmp_path, known):
    write_product(tmp_path / "product.h5", known)
    write_frames(tmp_path / "diffraction.h5", known)
    scan = read_scan(tmp_path / "diffraction.h5")
    moved = dataclasses.replace(
        scan, positions_yx=scan.positions_yx + np.array([2.0, -3.0]), object_guess=None
    )
    arm = load_arm(tmp_path / "product.h5", scan=moved)
    assert (arm.label, arm.image.origin_yx) == ("ptychodus", (2.0, -3.0))
    np.testing.assert_array_equal(arm.image.values, known.image)


@pytest.mark.spec("CM-2.10")
def test_pixels_that_a_reconstruction_does_not_cover_are_known(tmp_path):
    image, coverage = np.ones((3, 4), complex), np.arange(12).reshape(3, 4)
    probe, path = np.ones((2, 2), complex), tmp_path / "recon.npz"
    np.savez(path, reconstructed_object=image, reconstructed_probe=probe, algorithm="ePIE", coverage=coverage)
    np.testing.assert_array_equal(load_arm(path).image.coverage, coverage)


def test_a_folder_with_no_model_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no model"):
        load_arm(tmp_path)


@pytest.mark.spec("CM-2.7")
def test_an_arm_tells_what_its_file_leaves_open(tmp_path, caplog):
    write_bundle(tmp_path / "wts.h5.zip", pinn_description(64, 1, 0.25, use_polar=None))
    (assumption,) = load_arm(tmp_path).assumptions
    assert "patches are amplitude + i * phase, as the version that saved it made them" in assumption
    assert assumption in caplog.text
    image = PlacedImage(np.ones((4, 4), np.complex64), np.ones((4, 4), bool))
    assert FinishedArm(label="ePIE", image=image).assumptions == ()


def test_a_label_of_a_file_that_is_no_text_is_carried_escaped(tmp_path):
    path = tmp_path / "iterative.npz"
    image = np.ones((80, 90), np.complex64)
    np.savez(path, reconstructed_object=image, reconstructed_probe=image[:64, :64], algorithm="e\udce9 結")
    assert load_arm(path).label == r"e\udce9 結"
    assert load_arm(path, "a\ud800").label == r"a\ud800"
