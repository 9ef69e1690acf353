"""Whether model, scan and crop fit each other; runs nothing."""

from __future__ import annotations

from ptycho.data.scan import ScanData
from ptycho.errors import DataError
from ptycho.models.predictor import PatchPredictor


def _or_cropped(side: int, wanted: int) -> str:
    """Return how frames of `side` pixels can be given the size that is `wanted`, if they can."""
    if wanted > side:
        return ""
    return f", or read the scan with `crop={wanted}` (pixel size, probe and positions follow)"


def check_crop_fits(crop_size: int, patch_size: int) -> None:
    """Refuse a crop that is larger than the frames.

    Parameters
    ----------
    crop_size : int
        Side M in pixels.
    patch_size : int
        Side N of the frames in pixels.

    Raises
    ------
    DataError
        M > N.
    """
    if crop_size > patch_size:
        raise DataError(
            f"crop_size is {crop_size} but must satisfy 0 < M <= N = {patch_size}; pass another `crop_size`."
        )


def check_fits(model: PatchPredictor, scan: ScanData) -> None:
    """Refuse a scan whose frames are not those that a model takes.

    Parameters
    ----------
    model : PatchPredictor
        Such as `ptycho.models.load_model` returns.
    scan : ScanData

    Raises
    ------
    DataError
        Frames have another size, or there are too few of them to form a group.
    SettingsError
        The model is described with a trusted crop that is larger than they are.
    """
    if model.patch_size not in (None, scan.patch_size):
        raise DataError(
            f"the scan has frames of {scan.patch_size}x{scan.patch_size} pixels but the "
            f"{model.name} was trained on {model.patch_size}x{model.patch_size}; "
            f"use a model of the same size{_or_cropped(scan.patch_size, model.patch_size)}."
        )
    model.description.check_crop_fits(scan.patch_size)
    # A group is drawn from the neighbours of a scan point, itself left out.
    n_needed = 1 if model.gridsize == 1 else model.gridsize**2 + 1
    if scan.n_frames < n_needed:
        raise DataError(
            f"the scan has {scan.n_frames} frames but the model groups {model.gridsize**2} neighbours of each, "
            f"which needs at least {n_needed}; pass more frames or choose a model of smaller gridsize."
        )
