"""A `ComparisonResult` made by hand: asymmetric images, known figures, one arm of each kind."""

from dataclasses import replace

import numpy as np
from complex_objects import analytic_object

from autobatch import Attempt, BatchCost, BatchPlan, BatchRun, DeviceMemory
from ptycho.comparison import ArmResult, ComparisonResult, ComparisonSettings
from ptycho.comparison.roles import ROLES
from ptycho.evaluation import (
    ChannelPair,
    FrameMisfit,
    ImageMetrics,
    Misfit,
    ScoredImages,
    Verdict,
    measure_consistency,
)
from ptycho.evaluation.frame_spread import FrameSpread, add_to_levels, empty_levels
from ptycho.evaluation.frc import compute_frc
from ptycho.image.cropping import Rectangle, largest_rectangle
from ptycho.image.phase import PhaseRamp
from ptycho.image.placed import PlacedImage
from ptycho.image.registration import Registration
from ptycho.reconstruction import InferenceRun, StitchingRecord
from ptycho.refinement import RefinementRun, RefinementSettings, SweepRecord

# `load_arm` gives a model that nobody has named the role of its kind, and its label.
ROLE_OF = {names.label: role for role, names in ROLES.items()}
WINDOW = Rectangle(7, 47, 11, 67)
CARD = DeviceMemory(
    device="GPU:0", total_bytes=8000, free_bytes=6000, usable_bytes=5000, source="NVML", uuid="GPU-5e41a1"
)


def covered():
    """Everything but a corner of 9 x 13 pixels."""
    mask = np.ones(WINDOW.shape_yx, bool)
    mask[-9:, :13] = False
    return mask


def image(seed=3):
    """The object in the window, (40, 56) complex64."""
    return WINDOW.of(analytic_object((60, 80), seed=seed)).astype(np.complex64)


def registration(offset_yx=(0.25, -1.5), failure=None):
    return Registration(
        offset_yx,
        PhaseRamp(0.1, (0.01, -0.02)),
        0.9,
        2000,
        failure,
        independent_px=120.0,
        needed_correlation=0.3,
        rivalry=0.1,
    )


def batch_run():
    """100 items: 64 do not fit, 32 do."""
    plan = BatchPlan(
        batch_size=64,
        reason="5000 bytes hold 64 items",
        limited_by="memory",
        predicted_peak_bytes=4900,
        cost=BatchCost(bytes_per_item=76),
        memory=CARD,
    )
    failed = Attempt(
        start=0, stop=64, batch_size=64, n_batches=1, outcome="out_of_memory", seconds=10.5, error="OOM"
    )
    done = Attempt(start=0, stop=96, batch_size=32, n_batches=3, outcome="done", seconds=3.0)
    rest = Attempt(start=96, stop=100, batch_size=4, n_batches=1, outcome="done", seconds=0.25)
    return BatchRun(n_items=100, plan=plan, attempts=(failed, done, rest), seconds=13.75)


def inference_run(image, *, n_rejected=2, n_stitch_oom=0, collapsed=None):
    return InferenceRun(
        image=image,
        prediction=batch_run(),
        predict_s=12.0,
        stitching=StitchingRecord(
            first_batch=batch_run(),
            batch_sizes=(32, 4),
            n_oom=n_stitch_oom,
            n_rejected=n_rejected,
            seconds=0.5,
        ),
        collapsed=collapsed,
    )


def placed(values, mask=None, coverage=None):
    """`values` in the window, covered where `mask` is true."""
    mask = np.ones(WINDOW.shape_yx, bool) if mask is None else mask
    return PlacedImage(values, mask, WINDOW.origin_yx, coverage)


def metrics(*, amplitude, phase, **changes):
    """Figures a, a + 1, … for the amplitude and likewise for the phase; FRC curves of real images."""
    names = ("mae", "mse", "psnr", "ssim", "ms_ssim", "frc50", "frc1over7")
    pairs = {name: ChannelPair(amplitude + i, phase + i) for i, name in enumerate(names)}
    truth = image()
    picture = truth + 0.05 * np.random.default_rng(1).standard_normal(truth.shape)
    images = ScoredImages(
        np.abs(picture), np.abs(truth), np.angle(picture), np.angle(truth), np.angle(picture)
    )
    values = {
        "convention": "standard",
        "ms_ssim_scales": 2,
        "frc": compute_frc(
            (images.amplitude, images.true_amplitude), (images.phase, images.true_phase), frc_sigma=0.0
        ),
        "window": largest_rectangle(covered()),
        "ramp": PhaseRamp(0.5, (0.0, 0.125)),
        "amplitude_scale": 1.25,
        "images": images,
        "notes": ("MS-SSIM uses 2 of 5 scales.",),
    }
    return ImageMetrics(**(pairs | values | changes))


def consistency(picture):
    """Halves that carry noise of their own, and a spread that grows from left to right."""
    rng = np.random.default_rng(2)
    halves = [
        placed(
            np.where(covered(), picture + 0.05 * rng.standard_normal(picture.shape), 0).astype(np.complex64),
            covered(),
        )
        for _ in range(6)
    ]
    spread = np.broadcast_to(np.linspace(0, 0.04, picture.shape[1], dtype=np.float32), picture.shape)
    return measure_consistency(
        zip(halves[::2], halves[1::2], strict=True),
        image=picture,
        overlap_variance=np.where(covered(), spread, np.float32(np.nan)),
    )


def model_arm(label="PtychoPINN", seed=4, **changes):
    """A blurred, scaled, ramped view of the truth with an uncovered corner."""
    y, x = np.mgrid[: WINDOW.shape_yx[0], : WINDOW.shape_yx[1]]
    picture = 0.7 * (0.9 * image() + 0.1 * image(seed)) * np.exp(1j * (0.4 + 0.03 * y - 0.05 * x))
    picture = np.where(covered(), picture, 0).astype(np.complex64)
    coverage = np.where(covered(), 3 + (y > 20), 0).astype(np.float32)
    stitched = placed(picture, covered(), coverage)
    values = {
        "role": ROLE_OF.get(label),
        "kind": "model",
        "image": stitched,
        "aligned": placed(np.where(covered(), 1.5j * picture, 0).astype(np.complex64), covered()),
        "registration": registration(),
        "metrics": metrics(amplitude=0.125, phase=100.0),
        "consistency": consistency(picture),
        "verdict": verdict(),
        "inference": inference_run(stitched),
        "seconds": {"reconstruct": 13.75, "predict": 12.0, "stitch": 0.5, "register": 0.1},
    }
    return ArmResult(label=label, **(values | changes))


def refined_arm(label="PtychoPINN + 1 sweep", **changes):
    """The truth but for a corner, as the frames left it after one sweep."""
    picture = np.where(covered(), image(), 0).astype(np.complex64)
    run = RefinementRun(
        image=placed(picture, covered()),
        change=np.where(covered(), 0.25 * np.abs(picture), 0).astype(np.float32),
        sweeps=(SweepRecord(r_factor=0.125, change=0.0625, seconds=1.5, batch_sizes=(32, 4), n_oom=0),),
        scale=1.25,
        probe=np.ones((64, 64), np.complex64),
        positions_yx=np.full((100, 2), 40.0),
        settings=RefinementSettings(),
    )
    values = {"kind": "refined", "refinement": run, "consistency": None, "inference": None, "role": None}
    return model_arm(label, **(values | changes))


def collapsed_arm(reason, label="PtychoPINN", **changes):
    """A model whose output says nothing."""
    arm = model_arm(label, **changes)
    return replace(arm, inference=replace(arm.inference, collapsed=reason))


def finished_arm(label="ePIE", **changes):
    """The truth itself, not registered."""
    values = {
        "kind": "reconstruction",
        "image": placed(image()),
        "aligned": placed(image()),
        "metrics": metrics(amplitude=0.5, phase=200.0),
    }
    return ArmResult(label=label, **(values | changes))


def comparison(*arms, truth=True, failures=(), **settings):
    return ComparisonResult(
        arms=arms,
        failures=tuple(failures),
        window=WINDOW,
        truth=image() if truth else None,
        scored=covered(),
        n_frames=100,
        settings=ComparisonSettings(**settings),
    )


def misfit(chi2, *, r_factor=0.1, noise_r_factor=0.08):
    """A misfit of 80 frames; the maps tell rows from columns, and cell (1, 0) holds no frame."""
    detector = np.arange(12, dtype=np.float32).reshape(3, 4)
    return Misfit(
        n_frames=80,
        chi2=chi2,
        chi2_error=None if chi2 is None else 0.002,
        r_factor=r_factor,
        noise_r_factor=noise_r_factor,
        unexplained=0.0125,
        detector_map=detector,
        detector_excess=detector / 100,
        detector_share=detector / detector.sum(),
        object_map=np.array([[1, 2, 3], [np.nan, 5, 6]], np.float32),
        object_map_origin_yx=(9.5, 13.25),
        worst_frames=(FrameMisfit(17, 8.5), FrameMisfit(3, 2.25)),
        spread=frame_spread(np.linspace(0.5, 2.5, 80)),
    )


def frame_spread(misfits):
    """Frames of equal noise and energy, of which noise is a thousandth, with these misfits."""
    sums, ones = empty_levels(), np.ones(len(misfits))
    add_to_levels(sums, 4 * np.asarray(misfits), 4 * ones, 1000 * ones)
    return FrameSpread(sums, counted=True)


def verdict(**changes):
    """Patches that explain their frames and an image that does not."""
    values = {
        "image": misfit(9.8),
        "patches": misfit(1.85),
        "constant": replace(misfit(21.9, r_factor=0.225), unexplained=0.05),
        "judged_fraction": 0.8,
        "counted": True,
        "cause": "positions",
        "diagnosis": "Each patch explains its frame but the stitched image does not.",
        "notes": ("The last hundredth is a guess.",),
    }
    return Verdict(**(values | changes))
