"""What each figure means and when not to trust it, in short; docs/metrics.md has the formulas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Term:
    """A figure of the table of metrics.

    Attributes
    ----------
    name : str
        As in `comparison_metrics.csv`.
    title : str
    unit : str
        "" for what has none, or another for each channel.
    better : {"higher", "lower", ""}
        Which value is better; "" where the figure does not rank arms.
    meaning, distrust : str
        A sentence each.
    doi : str
    """

    name: str
    title: str
    unit: str
    better: Better
    meaning: str
    distrust: str
    doi: str = ""


AGAINST_TRUTH = (
    Term(
        "ssim",
        "SSIM",
        "",
        "higher",
        "Likeness of means, contrasts and structure in windows of 7 × 7 px; 1 for equal images.",
        "Rewards smooth images: a blurred one may score higher than a sharp one with a little noise. It depends on "
        "where a phase is zero.",
        "10.1109/TIP.2003.819861",
    ),
    Term(
        "ms_ssim",
        "MS-SSIM",
        "",
        "higher",
        "SSIM over up to five scales, each half as fine as the last; 1 for equal images.",
        "Not comparable between images of fewer than 161 px a side, which have fewer scales; amplitudes are smoothed "
        "first, so fine detail counts little.",
        "10.1109/ACSSC.2003.1292216",
    ),
    Term(
        "psnr",
        "PSNR",
        "dB",
        "higher",
        "The truth's range against the root of the mean squared error, on a logarithmic scale.",
        "A single bright fault may decide it; it says nothing of where errors lie.",
        "10.1049/el:20080522",
    ),
    Term(
        "mae",
        "Mean absolute error",
        "",
        "lower",
        "Mean modulus of the difference to the truth, after ramp, constant and amplitude scale are taken out.",
        "Depends on the contrast of the object: compare arms on one scan, not scans.",
    ),
    Term(
        "mse",
        "Mean squared error",
        "",
        "lower",
        "Mean square of the same difference: large errors count more.",
        "Depends on the contrast of the object: compare arms on one scan, not scans.",
    ),
    Term(
        "frc50",
        "FRC cut-off at 0.5",
        "cycles/px",
        "higher",
        "Frequency at which the Fourier ring correlation with the truth first falls below 0.5; 0.5 is Nyquist.",
        "Only the first crossing counts, so one bad ring decides it. Of the ptychopinn convention it is in rings.",
        "10.1016/0304-3991(87)90010-6",
    ),
    Term(
        "scored_share",
        "Scored share of the covered pixels",
        "",
        "",
        "How many of the pixels that all arms cover are scored: the largest rectangle without large holes, but for "
        "its small holes.",
        "A small share says that the figures are those of a part of the image: look at the coverage.",
    ),
)
WITHOUT_TRUTH = (
    Term(
        "chi2_image",
        "χ² of the frames, from the image",
        "",
        "lower",
        "Misfit of the measured frames with those recomputed from the stitched image, over what counting noise leaves: "
        "1 at best.",
        "It sees only what the frames tell: ambiguities of ptychography are invisible, and a wrong probe raises it for "
        "every arm.",
    ),
    Term(
        "chi2_patches",
        "χ² of the frames, from the patches",
        "",
        "lower",
        "The same with each frame's own patch, before stitching.",
        "A network that copies the frame into its patch explains it without a consistent object.",
    ),
    Term(
        "r_factor_image",
        "R-factor of the frames, from the image",
        "",
        "lower",
        "Mean modulus of the difference of amplitudes over the mean amplitude.",
        "Noise alone leaves much of it at low dose: compare it with what noise leaves, not with 0.",
    ),
    Term(
        "half_set_frc1over7",
        "Half-set FRC cut-off at 1/7",
        "cycles/px",
        "",
        "Frequency up to which images from two halves of the patches agree.",
        "Tells how reproducible an image is, not how right: a network that always paints the same wrong detail agrees "
        "with itself. So no arm is marked.",
        "10.1038/nmeth.2448",
    ),
    Term(
        "half_set_frc_half_bit",
        "Half-set FRC cut-off at half a bit",
        "cycles/px",
        "",
        "The same by the half-bit criterion.",
        "As above: reproducible is not right.",
        "10.1016/j.jsb.2005.05.009",
    ),
    Term(
        "overlap_disagreement",
        "Disagreement of overlapping patches",
        "",
        "",
        "Root of the mean variance over the patches on a pixel, over the mean modulus; 0 where they agree.",
        "Smooth, empty patches agree best. So no arm is marked.",
    ),
    Term(
        "probe_overlap",
        "Likeness of the probe to that of the training",
        "",
        "",
        "1 where the scan's probe is that on which the network was trained.",
        "A network is out of its depth well before 0; known only for models whose file holds the probe.",
    ),
    Term(
        "training_dose_ratio",
        "Photons a frame over those of the training",
        "times",
        "",
        "Of the training scan that is nearest in it; energy in the unit of the files where frames are not counted.",
        "A network trained at a fifth to five times of the dose is at home; known only for models that recorded it.",
    ),
    Term(
        "training_light_distance",
        "Distance of the light on the detector from the training's",
        "",
        "",
        "How far shares of the light in rings of the detector are from the nearest training scan's, as a typical "
        "natural logarithm: 0.1 is ten per cent.",
        "Two objects can spread light alike and be unlike all the same.",
    ),
    Term(
        "covered_fraction",
        "Share of the window that is covered",
        "",
        "",
        "Pixels that hold a reconstruction.",
        "Depends on the crop of the patches, so it is no merit.",
    ),
    Term(
        "patches_per_pixel_median",
        "Patches on a pixel (median)",
        "",
        "",
        "How many patches are averaged.",
        "Many patches average noise out, and detail too where positions are wrong.",
    ),
    Term(
        "computation_time_s",
        "Time to reconstruct",
        "s",
        "",
        "Predicting and stitching; of a finished reconstruction, what its file says.",
        "Of this machine, with all that ran beside it; loading is not in it.",
    ),
)
TERMS = {term.name: term for term in (*AGAINST_TRUTH, *WITHOUT_TRUTH)}
