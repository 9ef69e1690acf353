"""Make scans: object + probe + sub-pixel positions -> diffraction amplitudes with Poisson noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ptycho._checks import fields
from ptycho.data.phantoms import defocused_probe, random_lines, random_positions, raster_positions
from ptycho.data.scan import ScanData
from ptycho.diffraction import far_field_intensity
from ptycho.diffraction.spline_object import extract_patches

_BATCH = 256


def simulate_scan(
    object_image: np.ndarray,
    probe: np.ndarray,
    positions_yx: np.ndarray,
    *,
    photons_per_frame: float,
    rng: np.random.Generator,
) -> ScanData:
    """Diffract `object_image` at every position and count photons.

    Parameters
    ----------
    object_image : (H, W) complex64
        Transmission of the object.
    probe : (N, N) complex64
        Illumination; only its shape matters, its scale follows from `photons_per_frame`.
    positions_yx : (n, 2) float64
        Patch centres in pixels of the object; every patch must lie inside it.
    photons_per_frame : float
        Mean number of photons counted in a frame.
    rng : numpy.random.Generator
        Source of the Poisson noise.

    Returns
    -------
    ScanData
        Amplitudes are square roots of counts; the probe is scaled to their units.

    Raises
    ------
    ValueError
        `photons_per_frame` is not positive.
    DataError
        A patch reaches outside the object.
    """
    if not photons_per_frame > 0:
        raise ValueError(f"photons_per_frame is {photons_per_frame} but must be positive; 1e5 is usual.")
    positions = np.asarray(positions_yx, dtype=np.float64)
    wavefield = np.asarray(probe, dtype=np.complex64)
    patches = extract_patches(object_image, positions, wavefield.shape[0])
    intensity = np.empty(patches.shape, np.float32)
    for start in range(0, len(patches), _BATCH):
        batch = slice(start, start + _BATCH)
        intensity[batch] = far_field_intensity(patches[batch] * wavefield)
    scale = photons_per_frame / intensity.sum(axis=(1, 2), dtype=np.float64).mean()
    intensity *= np.float32(scale)
    counts = rng.poisson(intensity)
    return ScanData(
        amplitude=np.sqrt(counts, dtype=np.float32),
        positions_yx=positions,
        probe=wavefield * np.float32(math.sqrt(scale)),
        object_guess=object_image,
    )


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """Everything that decides a simulated scan; equal settings give equal scans.

    Attributes
    ----------
    patch_size : int
        Side N of a frame and of the probe in pixels.
    object_shape_yx : (int, int)
        Rows and columns of the object.
    n_lines : int
        Random lines across the object.
    blur_px : float
        Standard deviation of the lines' Gaussian blur.
    aperture : float
        Radius of the probe's disc in the far field, as a share of the Nyquist frequency.
    defocus : float
        Phase in radians at the rim of that disc.
    n_positions : int, optional
        Positions scattered at random; by default a jittered raster.
    step_px, jitter_px : float
        Distance of the raster's points, and their largest random shift along each axis.
    photons_per_frame : float
        Mean number of photons in a frame.
    seed : int
        Of object, positions and noise.

    Raises
    ------
    SettingsError
        A field is of another type or out of its range.
    """

    patch_size: int = 64
    object_shape_yx: tuple[int, int] = (192, 192)
    n_lines: int = 40
    blur_px: float = 2.0
    aperture: float = 0.5
    defocus: float = 12.0
    n_positions: int | None = None
    step_px: float = 6.0
    jitter_px: float = 1.0
    photons_per_frame: float = 1e5
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        fields.checked(
            self,
            patch_size=fields.whole_number(self.patch_size, "patch_size", at_least=1),
            object_shape_yx=fields.shape_yx(self.object_shape_yx, "object_shape_yx"),
            n_lines=fields.whole_number(self.n_lines, "n_lines", at_least=1),
            blur_px=fields.number(self.blur_px, "blur_px", at_least=0),
            aperture=fields.number(self.aperture, "aperture", above=0, at_most=1),
            defocus=fields.number(self.defocus, "defocus"),
            step_px=fields.number(self.step_px, "step_px", above=0),
            jitter_px=fields.number(self.jitter_px, "jitter_px", at_least=0),
            photons_per_frame=fields.number(self.photons_per_frame, "photons_per_frame", above=0),
            seed=fields.seed(self.seed, "seed"),
        )
        if self.n_positions is not None:
            n_positions = fields.whole_number(self.n_positions, "n_positions", at_least=1)
            fields.checked(self, n_positions=n_positions)


def simulate(
    settings: SimulationSettings | None = None,
    *,
    object_image: np.ndarray | None = None,
    probe: np.ndarray | None = None,
) -> ScanData:
    """Simulate a scan.

    Parameters
    ----------
    settings : SimulationSettings, optional
    object_image : (H, W) complex64, optional
        In place of the random lines.
    probe : (N, N) complex64, optional
        In place of the defocused disc.

    Returns
    -------
    ScanData
        With the object as its truth.

    Raises
    ------
    DataError
        The object leaves no room for the patches.

    Examples
    --------
    >>> from ptycho.data import SimulationSettings, simulate
    >>> scan = simulate(SimulationSettings(object_shape_yx=(80, 90), step_px=12.0, seed=7))
    >>> scan.amplitude.shape, scan.positions_yx.shape, scan.object_guess.shape
    ((6, 64, 64), (6, 2), (80, 90))
    """
    settings = settings or SimulationSettings()
    rng = np.random.default_rng(settings.seed)
    if object_image is None:
        object_image = random_lines(
            settings.object_shape_yx, n_lines=settings.n_lines, blur_px=settings.blur_px, rng=rng
        )
    if probe is None:
        probe = defocused_probe(settings.patch_size, aperture=settings.aperture, defocus=settings.defocus)
    shape, side = object_image.shape, probe.shape[0]
    if settings.n_positions is None:
        positions = raster_positions(
            shape, side, step_px=settings.step_px, jitter_px=settings.jitter_px, rng=rng
        )
    else:
        positions = random_positions(shape, side, n_positions=settings.n_positions, rng=rng)
    return simulate_scan(
        object_image, probe, positions, photons_per_frame=settings.photons_per_frame, rng=rng
    )
