"""What a network makes of the frames that are held out: how well it explains them, and a picture stitched of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

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
    """Adds to the losses of every epoch what the held-out frames say; makes a picture of them when asked.

    The graph that it calls is the network's own: after every step it computes with the weights of that step.
    """

    def __init__(
        self,
        network: keras.Model,
        architecture: Architecture,
        examples: Examples,
        chosen: np.ndarray,
        batch_size: int,
    ) -> None:
        super().__init__()
        self._network, self._examples = network, examples
        self._is_supervised = architecture.is_supervised
        # In order, so that frames in a file are read as they lie.
        self._chosen, self._batch_size = np.sort(chosen), batch_size
        reach = float(np.abs(examples.offsets_yx).max(initial=0.0))
        self._far_field = FarField(examples.probes, reach_px=reach, masks=examples.masks)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Note the figures beside the losses."""
        if logs is not None:
            logs.update(self.figures())

    def figures(self) -> dict[str, float]:
        """Return χ², R-factor and, for a loss that is a deviance, what noise leaves of it; without what is not known.

        ``val_chi2`` is that of `ptycho.evaluation.Misfit`, of frames recomputed from what the network puts out.
        """
        examples = self._examples
        held_out = np.unique(examples.scan_of[self._chosen]).tolist()
        # One scan after the other: the sums of each are as large as its frames are wide.
        numbers, floors = zip(*map(self._of_scan, held_out), strict=True)
        squares, noise, _, _, deviation, _, amplitude = np.sum(numbers, axis=0)
        found = {"val_r_factor": deviation / amplitude if amplitude > 0 else np.nan}
        if np.isfinite(examples.photons[held_out]).all():
            found["val_chi2"] = squares / noise if noise > 0 else np.nan
            if not self._is_supervised:
                n_pixels = len(self._chosen) * examples.indices.shape[1] * examples.probes[0].size
                found["val_loss_floor"] = sum(floors) / n_pixels
        return {name: float(value) for name, value in found.items()}

    def _of_scan(self, number: int) -> tuple[np.ndarray, float]:
        """Return the numbers of the misfit (7,) of a scan's held-out frames, and the floor of their loss, both sums."""
        examples, floor = self._examples, 0.0
        scan, photon = examples.scans[number], float(examples.photons[number])
        mask = np.ones(scan.probe.shape, bool) if scan.mask is None else scan.mask
        sums = MisfitSums(scan.positions_yx, mask, photon_energy=None if np.isnan(photon) else photon)
        for chosen in self._batches(self._chosen[examples.scan_of[self._chosen] == number]):
            frames = examples.frames(chosen)
            predicted = _flat(self._put_out(chosen, frames)[-1].numpy())
            sums.add(examples.indices[chosen].ravel(), _flat(frames), np.sqrt(predicted))
            if np.isfinite(photon):
                floor += float((photon * expected_deviance(predicted / photon) * mask).sum())
        return sums.totals().numbers, floor

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
            canvas.add(self.patches(batch), centres)
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

    def patches(self, chosen: np.ndarray) -> np.ndarray:
        """Return the patch (B, N, N) complex64 that the network makes of each group."""
        *images, _ = self._put_out(chosen, self._examples.frames(chosen))
        patches = polar(*images)
        if patches.shape[-1] > 1:
            return merge_patches(patches, self._examples.offsets_yx[chosen], patches.shape[1]).numpy()
        return patches.numpy()[..., 0]

    def _put_out(self, chosen: np.ndarray, frames: np.ndarray) -> tuple[Any, Any, Any]:
        """Return amplitude and phase, and the intensity that they make, (B, N, N, C) each."""
        examples = self._examples
        given = (frames, examples.offsets_yx[chosen], examples.scan_of[chosen])
        return self._graph(*map(tf.convert_to_tensor, given))

    @cached_property
    def _graph(self) -> Any:
        """Network and far field as one graph for every size of a batch; Keras would trace each size anew."""
        side, channels = self._examples.probes.shape[-1], self._examples.indices.shape[1]
        given = (
            tf.TensorSpec((None, side, side, channels), tf.float32),
            tf.TensorSpec((None, channels, 2), tf.float32),
            tf.TensorSpec((None,), tf.int32),
        )
        return tf.function(self._forward).get_concrete_function(*given)

    def _forward(self, frames: Any, offsets_yx: Any, scan_of: Any) -> tuple[Any, Any, Any]:
        amplitude, phase = self._network(frames, training=False)
        return amplitude, phase, self._far_field(amplitude, phase, offsets_yx, scan_of)


class Pictures(keras.callbacks.Callback):
    """Hands on a picture of held-out frames after the first epoch and every fifth."""

    def __init__(self, held_out: HeldOut, on_image: Callable[[HeldOutImage], None]) -> None:
        super().__init__()
        self._held_out, self._on_image = held_out, on_image

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Make it and hand it on."""
        if epoch == 0 or (epoch + 1) % PICTURE_EVERY == 0:
            self._on_image(self._held_out.image(epoch + 1))


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
