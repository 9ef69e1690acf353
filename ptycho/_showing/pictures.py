"""Arrays as small PNGs within a page or a notebook."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable

import numpy as np

from ptycho._showing.html import Markup

GREY, SIGNED, MAGNITUDE = "gray", "RdBu_r", "viridis"
_SIDE_PX = 160


def limits_of(
    images: Iterable[np.ndarray], percentiles: tuple[float, float] = (1.0, 99.0)
) -> tuple[float, float]:
    """Return what the ends of a colour scale for all finite values of `images` stand for; never the same."""
    values = np.concatenate([image[np.isfinite(image)] for image in images] or [np.empty(0)])
    low, high = np.percentile(values, percentiles) if values.size else (0.0, 0.0)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def png_source(image: np.ndarray, limits: tuple[float, float], colours: str) -> str:
    """Return an image (h, w) as the address of a PNG that is within it; what is not a number is transparent."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    low, high = limits
    shade = np.clip((np.nan_to_num(image) - low) / (high - low), 0, 1)
    pixels = colormaps[colours](shade, bytes=True)
    pixels[np.isnan(image)] = 0
    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def picture(image: np.ndarray, limits: tuple[float, float], colours: str, *, alt: str) -> Markup:
    """Return an image (h, w) as an element about 160 pixels wide, of pixels thinned to twice as many at most."""
    step = -(-max(image.shape) // (2 * _SIDE_PX))
    source = png_source(image[::step, ::step], limits, colours)
    height, width = image.shape
    shown = min(_SIDE_PX, round(_SIDE_PX * width / height))
    return Markup(
        f'<img src="{source}" alt="{html.escape(alt)}" width="{shown}" style="image-rendering:pixelated">'
    )
