"""The stitched images of a comparison for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho.data.exporting import export_reconstruction
from ptycho.report import names

if TYPE_CHECKING:
    from ptycho.comparison import ComparisonResult
    from ptycho.data import ScanData


def export_images(
    result: ComparisonResult, scan: ScanData, folder: Path, formats: Sequence[str]
) -> list[Path]:
    """Write the image of each model's arm, as it was stitched or refined, in each of `formats`.

    Parameters
    ----------
    result : ComparisonResult
    scan : ScanData
        That was compared on.
    folder : Path
    formats : sequence of {"product", "cxi", "tiff"}

    Returns
    -------
    list of Path
        The files, ``<arm>_image`` with the suffix of each format.

    Raises
    ------
    DataError
        A format needs lengths that the scan does not have.
    OSError
        A file cannot be written.
    """
    if not formats:
        # An arm that saw a few frames alone has no image under the positions of all.
        return []
    prefixes = names.arm_prefixes(result.arms)
    return [
        path
        for arm in result.arms
        if (image := arm.as_reconstruction(scan)) is not None
        for path in export_reconstruction(
            folder / f"{prefixes[arm.label].file}{names.EXPORT_STEM}",
            image,
            formats,
            geometry=scan.geometry,
        )
    ]
