"""What a network makes of the frames that are held out: how well it explains them, and a picture stitched of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from ptycho.evaluation.misfit import MisfitSums
from ptycho.image.cropping import Rectangle, object_window
from ptycho.image.placed import PlacedImage
from ptycho.models._examples import Examples
from ptycho.models._poisson_floor import expected_deviance
from ptycho.models.networks import Architecture
from ptycho.models.physics import FarField, merge_patches, polar
from ptycho.models.training_result import HeldOutImage
from ptycho.stitching import Canvas

# A picture takes about as long as the figures, which are for every epoch.
PICTURE_EVERY = 5
_MOST_PICTURED = 2000


class HeldOut(keras.callbacks.Callback):
    """Adds to the losses of every epoch what the held-out frames say; gives a picture of them now and then.

    The network is called without a graph of its own: there are few frames, and tracing one would take longer.
    """

    def __init__(
        self,
        network: keras.Model,
        architecture: Architecture,
        examples: Examples,
        chosen: np.ndarray,
        batch_size: int,
        on_image: Callable[[HeldOutImage], None] | None = None,
    ) -> None:
        super().__init__()
        self._network, self._examples, self._on_image = network, examples, on_image
        self._is_supervised = architecture.is_supervised
        # In order, so that frames in a file are read as they lie.
        self._chosen, self._batch_size = np.sort(chosen), batch_size
        reach = float(np.abs(examples.offsets_yx).max(initial=0.0))
        self._far_field = FarField(examples.probes, reach_px=reach, masks=examples.masks)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Note the figures beside the losses; make a picture of the first epoch and of every fifth."""
        if logs is not None:
            logs.update(self.figures())
        if self._on_image is not None and (epoch == 0 or (epoch + 1) % PICTURE_EVERY == 0):
            self._on_image(self.image(epoch + 1))

    def figures(self) -> dict[str, float]:
        """Return χ², R-factor and, for a loss that is a deviance, what noise leaves of it; without what is not known.

        ``val_chi2`` is that of `ptycho.evaluation.Misfit`, of frames recomputed from what the network puts out.
        """
        examples = self._examples
        sums: dict[int, MisfitSums] = {}
        floor, n_pixels = 0.0, 0
        for chosen in self._batches(self._chosen):
            frames = examples.frames(chosen)
            predicted = np.maximum(self._intensity(chosen, frames), 0)
            n_pixels += frames.size
            for number in np.unique(examples.scan_of[chosen]).tolist():
                rows = examples.scan_of[chosen] == number
                if number not in sums:
                    sums[number] = self._sums(number)
                indices = examples.indices[chosen[rows]].ravel()
                sums[number].add(indices, *(_flat(each[rows]) for each in (frames, np.sqrt(predicted))))
                floor += self._floor(number, predicted[rows])
        squares, noise, _, _, deviation, _, amplitude = np.sum(
            [each.totals().numbers for each in sums.values()], axis=0
        )
        found = {"val_r_factor": deviation / amplitude if amplitude > 0 else np.nan}
        if np.isfinite(examples.photons[list(sums)]).all():
            found["val_chi2"] = squares / noise if noise > 0 else np.nan
            if not self._is_supervised:
                found["val_loss_floor"] = floor / n_pixels
        return {name: float(value) for name, value in found.items()}

    def image(self, epoch: int) -> HeldOutImage:
        """Return a picture of the scan of which most is held out: of 2,000 groups, those about the middle of it."""
        number = int(np.bincount(self._examples.scan_of[self._chosen]).argmax())
        scan = self._examples.scans[number]
        chosen, centres_yx = self._pictured(number)
        # Even, so that patches keep their centres.
        crop_size = 2 * (3 * scan.patch_size // 16)
        window = object_window(centres_yx, crop_size)
        origin_yx = (float(window.row_start), float(window.column_start))
        canvas = Canvas(window.shape_yx, crop_size=crop_size, origin_yx=origin_yx, backend="cpu")
        places = self._batches(centres_yx)
        for batch, centres in zip(self._batches(chosen), places, strict=True):
            canvas.add(self._patches(batch), centres)
        return HeldOutImage(
            epoch=epoch,
            scan=number,
            image=PlacedImage(canvas.image(), canvas.coverage() > 0, origin_yx),
            truth=_within(window, scan.object_guess),
        )

    def _pictured(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the groups of a scan that make its picture, and their centres (n, 2)."""
        examples = self._examples
        chosen = self._chosen[examples.scan_of[self._chosen] == number]
        centres = examples.scans[number].positions_yx[examples.indices[chosen]].mean(axis=1)
        distance = np.abs(centres - np.median(centres, axis=0)).max(axis=1)
        nearest = np.sort(np.argsort(distance, kind="stable")[:_MOST_PICTURED])
        return chosen[nearest], centres[nearest]

    def _batches(self, array: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(array), self._batch_size):
            yield array[start : start + self._batch_size]

    def _intensity(self, chosen: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return the intensity (B, N, N, C) of what the network puts out."""
        examples = self._examples
        images = self._network(frames, training=False)
        return self._far_field(*images, examples.offsets_yx[chosen], examples.scan_of[chosen]).numpy()

    def _patches(self, chosen: np.ndarray) -> np.ndarray:
        """Return a patch (B, N, N) complex64 of each group."""
        patches = polar(*self._network(self._examples.frames(chosen), training=False))
        if patches.shape[-1] > 1:
            return merge_patches(patches, self._examples.offsets_yx[chosen], patches.shape[1]).numpy()
        return patches.numpy()[..., 0]

    def _sums(self, number: int) -> MisfitSums:
        scan, photon = self._examples.scans[number], self._examples.photons[number]
        everywhere = np.ones(scan.probe.shape, bool)
        return MisfitSums(
            scan.positions_yx,
            everywhere if scan.mask is None else scan.mask,
            photon_energy=None if np.isnan(photon) else float(photon),
        )

    def _floor(self, number: int, predicted: np.ndarray) -> float:
        """Return what the loss of frames (b, N, N, C) would be, summed over pixels, if their prediction were right."""
        photon, masks = self._examples.photons[number], self._examples.masks
        if np.isnan(photon):
            return np.nan
        deviance = photon * expected_deviance(predicted / photon)
        return float(deviance.sum() if masks is None else (deviance * masks[number][..., None]).sum())


def _flat(frames: Any) -> np.ndarray:
    """Return frames (B, N, N, C) as (B·C, N, N), the members of a group one after the other."""
    side = frames.shape[1]
    return np.moveaxis(frames, -1, 1).reshape(-1, side, side)


def _within(window: Rectangle, image: np.ndarray | None) -> np.ndarray | None:
    """Return the part of an image in a window; None where there is no image, or it is smaller."""
    if image is None or window.row_start < 0 or window.column_start < 0:
        return None
    part = window.of(image)
    return part if part.shape == window.shape_yx else None
