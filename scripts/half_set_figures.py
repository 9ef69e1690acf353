"""Half sets of the demo's networks on several scans: how far cut-offs are a matter of the lot, and where curves dip.

    .venv/bin/python scripts/half_set_figures.py          # about ten minutes; the table of docs/metrics.md

Each scan, on rasters without jitter and at random positions, is predicted once; its patches are then put into groups by
six lots. Beside the half-bit cut-off of the mean of the three splits stand its standard deviation over the lots, the
median of the standard error that each lot gives of itself, the same after division by what all patches have in common
(their mean over that of the image under them, pixel by pixel of a patch), and the cut-off against the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ptycho.data import ScanData, SimulationSettings, simulate
from ptycho.demo import model_folder
from ptycho.evaluation import SelfConsistency, compare_images, measure_consistency
from ptycho.image import PlacedImage, Rectangle, object_window, window_of_positions
from ptycho.models import ModelKind, load_model
from ptycho.reconstruction import HalfSets, InferenceSettings, reconstruct
from ptycho.reconstruction._half_sets import draw_groups
from ptycho.stitching import Canvas

CROP_SIZE = 24
N_LOTS = 6
N_GROUPS = 4
SETTINGS = SimulationSettings(object_shape_yx=(200, 200), jitter_px=0.0, seed=3)
SCANS = {"4": 4.0, "5": 5.0, "6.5": 6.5, "random": None}


@dataclass(frozen=True, eq=False)
class Patches:
    """All patches of a scan, cut to what is stitched."""

    values: np.ndarray
    positions_yx: np.ndarray

    @property
    def window(self) -> Rectangle:
        """The pixels under them."""
        return object_window(self.positions_yx, CROP_SIZE)

    def stitched(self, chosen: np.ndarray) -> PlacedImage:
        """Return the image of some of them."""
        canvas = self._canvas(chosen)
        return PlacedImage.of_coverage(canvas.image(), canvas.coverage(), canvas.origin_yx)

    def without_what_they_share(self) -> Patches:
        """Return the patches divided by the factor by which they differ from their image, for each pixel of a patch."""
        canvas = self._canvas(np.ones(len(self.values), bool))
        under = canvas.extract(canvas.image(), self.positions_yx)
        shared = (self.values * under.conj()).sum(axis=0) / (np.abs(under) ** 2).sum(axis=0)
        return Patches((self.values / shared).astype(np.complex64), self.positions_yx)

    def _canvas(self, chosen: np.ndarray) -> Canvas:
        window = self.window
        canvas = Canvas(
            window.shape_yx,
            crop_size=CROP_SIZE,
            origin_yx=window.origin_yx,
            backend="cpu",
            accumulate="float64",
        )
        canvas.add(np.ascontiguousarray(self.values[chosen]), self.positions_yx[chosen])
        return canvas


def predicted(kind: ModelKind, scan: ScanData) -> Patches:
    """Return the patches of one of the demo's networks."""
    found: list[np.ndarray] = []
    border = (scan.patch_size - CROP_SIZE) // 2
    inside = slice(border, border + CROP_SIZE)
    reconstruct(
        load_model(model_folder(kind)),
        scan,
        InferenceSettings(crop_size=CROP_SIZE),
        observer=lambda _frames, _centres, batch: found.append(batch[:, inside, inside].copy()),
    )
    return Patches(np.concatenate(found), scan.positions_yx)


def consistency_of(patches: Patches, *, seed: int) -> SelfConsistency:
    """Return the self-consistency by one lot."""
    groups = draw_groups(patches.positions_yx, seed=seed)
    images = tuple(patches.stitched(groups == group) for group in range(N_GROUPS))
    shape = patches.window.shape_yx
    return measure_consistency(
        HalfSets(images, np.full(shape, np.nan, np.float32)).splits(patches.window),
        image=np.ones(shape, np.complex64),
        overlap_variance=np.full(shape, np.nan, np.float32),
    )


def row(found: list[SelfConsistency], channel: str) -> tuple[str, ...]:
    """Return cut-off, its deviation over lots, the standard error that a lot gives, and the lowest correlation."""
    means = [each.half_set_frc for each in found if each.half_set_frc is not None]
    curves = [getattr(mean, channel) for mean in means]
    cutoffs = np.array([curve.cutoffs.half_bit.frequency for curve in curves])
    errors = np.array([getattr(each.cutoff_spread("half_bit"), channel) for each in found])
    # Lots may leave halves of other rectangles, and so curves of other rings.
    lowest = [
        (float(np.nanmin(curve.correlation)), float(mean.frequency[np.nanargmin(curve.correlation)]))
        for curve, mean in zip(curves, means, strict=True)
    ]
    depth, frequency = np.median(lowest, axis=0)
    return (
        f"{cutoffs.mean():.3f}",
        f"{100 * cutoffs.std(ddof=1) / cutoffs.mean():.1f} %",
        f"{100 * np.median(errors / cutoffs):.1f} %",
        f"{depth:.2f} at {frequency:.3f}",
    )


def truth_cutoffs(patches: Patches, scan: ScanData) -> dict[str, float]:
    """Return the half-bit cut-offs against the truth."""
    assert scan.object_guess is not None  # it was simulated
    window = window_of_positions(scan.positions_yx, crop_size=CROP_SIZE, shape_yx=scan.object_guess.shape)  # type: ignore[arg-type]
    image = patches.stitched(np.ones(len(patches.values), bool)).in_window(window)
    metrics = compare_images(image.values, window.of(scan.object_guess), mask=image.covered)
    assert metrics.frc is not None
    pair = metrics.frc.cutoffs("half_bit")
    return {
        name: cutoff.frequency for name, cutoff in zip(("amplitude", "phase"), pair, strict=True) if cutoff
    }


def main() -> None:
    """Print the table."""
    heads = (
        "network",
        "step / px",
        "image",
        "cut-off",
        "over lots",
        "own error",
        "lowest",
        "the same, what is shared divided out",
    )
    print(f"| {' | '.join((*heads, 'truth'))} |\n|---|---|---|---:|---:|---:|---|---|---:|", flush=True)
    kinds: tuple[ModelKind, ...] = ("pinn", "baseline")
    for kind in kinds:
        for name, step in SCANS.items():
            positions = {"n_positions": 700} if step is None else {"step_px": step}
            scan = simulate(replace(SETTINGS, **positions))
            patches = predicted(kind, scan)
            truth = truth_cutoffs(patches, scan)
            plain, divided = (
                [consistency_of(each, seed=seed) for seed in range(N_LOTS)]
                for each in (patches, patches.without_what_they_share())
            )
            for channel in ("amplitude", "phase"):
                cutoff, *_, lowest = row(divided, channel)
                cells = (
                    kind,
                    name,
                    channel,
                    *row(plain, channel),
                    f"{cutoff}, {lowest}",
                    f"{truth[channel]:.3f}",
                )
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
