"""How much the files of a comparison take, before there is one."""

from __future__ import annotations

# Bytes a pixel of the window, of the arrays in `images.py`: amplitude, phase and the complex image of each …
_IMAGE = 4 + 4 + 8
# … with what is covered and how often; in the raw file, and in the one after registration.
_RAW, _ALIGNED = _IMAGE + 1 + 4, _IMAGE + 1
# Both halves and the variance.
_CONSISTENCY = 8 + 8 + 4


def artifact_bytes(
    n_pixels: int,
    *,
    n_models: int,
    n_finished: int,
    has_truth: bool,
    self_consistency: bool,
    save_npz: bool = True,
    save_npz_aligned: bool = True,
) -> int:
    """Return how many bytes the images of a comparison take; tables, report and plots are small beside them.

    Parameters
    ----------
    n_pixels : int
        Of the common window.
    n_models, n_finished : int
        Arms of either kind.
    has_truth : bool
        Whether the truth is in the files too.
    self_consistency : bool
        Whether models put out the images of their halves.
    save_npz, save_npz_aligned : bool
        As in `ArtifactOptions`.

    Returns
    -------
    int
        To within the headers of the archives.
    """
    n_arms, truth = n_models + n_finished, _IMAGE * has_truth
    raw = truth + n_arms * _RAW + n_models * _CONSISTENCY * self_consistency
    aligned = truth + 1 + n_arms * _ALIGNED
    return n_pixels * (raw * save_npz + aligned * save_npz_aligned)
