"""A stand-in for a trained model that knows the true patches: stitching errors become visible alone."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from ptycho.data import ScanData, defocused_probe, extract_patches, random_lines, raster_positions
from ptycho.models import NetworkDescription, PatchPredictor
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import keras_model_cost, precisions_of


@dataclass
class OracleModel(PatchPredictor):
    """Finds each frame again by its content and returns the true patch; records the batches it saw."""

    scan: ScanData
    patch_size: int = 32
    gridsize: int = 1
    batch_sizes: list[int] = field(default_factory=list)

    def __post_init__(self):
        self.architecture = Architecture(kind="baseline", patch_size=self.patch_size, n_filters_scale=0.25)
        self.network = _network(self.architecture)
        self._index = {_fingerprint(frame): i for i, frame in enumerate(self.scan.amplitude)}
        self._patches = extract_patches(self.scan.object_guess, self.scan.positions_yx, self.patch_size)

    @property
    def description(self):
        return NetworkDescription(patch_size=self.patch_size, gridsize=self.gridsize)

    @property
    def name(self):
        return self.architecture.kind

    @property
    def memory_key(self):
        return f"{self.architecture} {precisions_of(self.network)}"

    def batch_cost(self, frame_shape):
        return keras_model_cost(self.network)

    def images_of(self, frames):
        return [self.predict_batch(frames)[..., None]]

    def predict_batch(self, frames, offsets_yx=None):
        self.batch_sizes.append(len(frames))
        patches = np.zeros((len(frames), self.patch_size, self.patch_size), np.complex64)
        for patch, frame in zip(patches, frames[..., 0], strict=True):
            if frame.any():
                patch[:] = self._patches[self._index[_fingerprint(frame)]]
        return patches


@cache
def _network(architecture):
    """One that never runs: only its cost is asked for."""
    return build_network(architecture)


def _fingerprint(frame):
    """What tells random frames apart whatever their scale."""
    return int(frame.argmax()), int(frame.argmin())


def lopsided_scan(*, n_extra=20, blur_px=5.0, seed=3):
    """A scan of noise frames over a line object whose mean position is far from the middle of its range."""
    rng = np.random.default_rng(seed)
    image = random_lines((150, 180), n_lines=30, blur_px=blur_px, rng=rng)
    raster = raster_positions(image.shape, 32, step_px=8.0, jitter_px=2.0, rng=rng)
    corner = rng.uniform((16, 16), (40, 60), (n_extra, 2))
    positions = np.concatenate([raster, corner])
    return ScanData(
        amplitude=rng.random((len(positions), 32, 32), dtype=np.float32),
        positions_yx=positions,
        probe=defocused_probe(32),
        object_guess=image,
    )


class FrameOracle(OracleModel):
    """Puts out given patches (n, N, N), found again by every bit of the frames, which may then be real ones."""

    def __init__(self, scan, patches):
        super().__init__(scan, patch_size=scan.patch_size)
        self._patches = patches
        factor = np.float32(scan.normalisation)
        self._index = {(frame * factor).tobytes(): i for i, frame in enumerate(scan.amplitude)}

    def predict_batch(self, frames, offsets_yx=None):
        lit = [np.ascontiguousarray(frame).tobytes() for frame in frames[..., 0]]
        dark = np.zeros_like(self._patches[0])
        return np.stack([self._patches[self._index[key]] if key in self._index else dark for key in lit])
