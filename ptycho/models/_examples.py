"""What a network is trained on: groups of frames that stay where they lie, read and scaled batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ptycho._io.mapped import rows_of
from ptycho.data.grouping import neighbour_groups
from ptycho.data.illumination import consistent_probe
from ptycho.data.photons import photon_energy
from ptycho.data.scan import ScanData
from ptycho.diffraction import SplineObject
from ptycho.diffraction.spline_object import check_inside
from ptycho.models.networks import Architecture

# Keeps the logarithm of the loss finite in dark pixels; where counts are not known, in the units of the network.
BACKGROUND_PHOTONS, BACKGROUND_UNCOUNTED = 0.01, 1e-4


@dataclass(frozen=True, eq=False, kw_only=True)
class Examples:
    """Groups of the frames of several scans; no array here is as large as the frames.

    Attributes
    ----------
    scans : tuple of ScanData
        K of them, as they were given.
    factors : (K,) float32
        What brings the amplitudes of each to the units of the network.
    probes : (K, N, N) complex64
        In those units.
    photons : (K,) float64
        Energy of one photon in those units; NaN for a scan whose frames are no counts.
    masks : (K, N, N) bool, optional
        True where a pixel counts; None if all do.
    indices : (n, C) int64
        Frames of each group, numbered within their scan.
    offsets_yx : (n, C, 2) float32
        Position of each frame relative to the centre of its group, in pixels.
    scan_of : (n,) int32
        The scan of each group.
    splines : tuple of SplineObject or None, optional
        Of the objects whose patches are the labels, None in it for a scan with labels of its own; None where no
        labels are needed.
    """

    scans: tuple[ScanData, ...]
    factors: np.ndarray
    probes: np.ndarray
    photons: np.ndarray
    masks: np.ndarray | None
    indices: np.ndarray
    offsets_yx: np.ndarray
    scan_of: np.ndarray
    splines: tuple[SplineObject | None, ...] | None

    @classmethod
    def gather(
        cls, scans: Sequence[ScanData], architecture: Architecture, rng: np.random.Generator
    ) -> Examples:
        """Form the groups of every scan and find its scale; the frames are read once and not kept."""
        groups = [
            neighbour_groups(scan.positions_yx, gridsize=architecture.gridsize, rng=rng) for scan in scans
        ]
        factors = np.array([scan.normalisation for scan in scans], np.float32)
        probes = np.stack([consistent_probe(scan).probe for scan in scans])
        return cls(
            scans=tuple(scans),
            factors=factors,
            probes=probes * factors[:, None, None].astype(np.complex64),
            photons=np.array([_photon_energy(scan) for scan in scans]) * factors.astype(np.float64) ** 2,
            masks=_masks(scans),
            indices=np.concatenate([group.indices for group in groups]),
            offsets_yx=np.concatenate([-group.relative_yx.astype(np.float32) for group in groups]),
            scan_of=np.repeat(np.arange(len(scans), dtype=np.int32), [len(group) for group in groups]),
            splines=tuple(map(_spline, scans)) if architecture.is_supervised else None,
        )

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.indices)

    @property
    def backgrounds(self) -> np.ndarray:
        """Intensity (K,) float32 that is added to every pixel of a scan where a loss takes a logarithm of it.

        It is the same number of photons at every dose, so that the loss of a dark pixel is.
        """
        known = np.isfinite(self.photons)
        return np.where(known, BACKGROUND_PHOTONS * self.photons, BACKGROUND_UNCOUNTED).astype(np.float32)

    @property
    def is_labelled(self) -> bool:
        """Whether `labels` can be asked for."""
        return self.splines is not None

    def frames(self, chosen: np.ndarray) -> np.ndarray:
        """Return the frames of the groups `chosen` (B,), (B, N, N, C) float32 in the units of the network."""

        def scaled(number: int, members: np.ndarray) -> np.ndarray:
            return self.scans[number].frames(members) * self.factors[number]

        return self._stacked(chosen, np.dtype(np.float32), scaled)

    def labels(self, chosen: np.ndarray) -> np.ndarray:
        """Return the object under the frames of the groups `chosen` (B,), (B, N, N, C) complex64."""

        assert self.splines is not None  # else nobody asks for labels
        splines = self.splines

        def read(number: int, members: np.ndarray) -> np.ndarray:
            scan, spline = self.scans[number], splines[number]
            if spline is None:
                assert scan.labels is not None  # checked at the door
                return rows_of(scan.labels, members)
            patches = spline.patches(scan.positions_yx[members.ravel()], scan.patch_size)
            return patches.reshape(*members.shape, *patches.shape[1:])

        return self._stacked(chosen, np.dtype(np.complex64), read)

    def _stacked(
        self, chosen: np.ndarray, dtype: np.dtype, read: Callable[[int, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        side = self.probes.shape[-1]
        members, scan_of = self.indices[chosen], self.scan_of[chosen]
        stacked = np.empty((len(members), side, side, members.shape[1]), dtype)
        for number in np.unique(scan_of):
            rows = np.flatnonzero(scan_of == number)
            stacked[rows] = np.moveaxis(read(int(number), members[rows]), 1, -1)
        return stacked


def _spline(scan: ScanData) -> SplineObject | None:
    if scan.labels is not None:
        return None
    assert scan.object_guess is not None  # checked at the door
    # Now rather than in the middle of an epoch.
    check_inside(scan.object_guess.shape, scan.positions_yx, scan.patch_size)
    return SplineObject.of(scan.object_guess)


def _photon_energy(scan: ScanData) -> float:
    energy = photon_energy(scan)
    return np.nan if energy is None else energy


def _masks(scans: Sequence[ScanData]) -> np.ndarray | None:
    if all(scan.mask is None for scan in scans):
        return None
    everywhere = np.ones(scans[0].probe.shape, bool)
    return np.stack([everywhere if scan.mask is None else scan.mask for scan in scans])
