"""The convolutional networks of the PINN and the baseline, from standard Keras layers alone.

Both map diffraction amplitude to an amplitude and a phase image. They hold no state beyond their weights
and need no custom layer, so that a bundle's numbers are all there is to load.

References
----------
PtychoPINN: Hoidn et al. (2023), doi:10.1038/s41598-023-48351-7.
PtychoNN, the model of the baseline: Cherukara et al. (2020), doi:10.1063/5.0013065.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from ptycho._checks import fields
from ptycho.errors import SettingsError

if TYPE_CHECKING:
    import keras

ModelKind = Literal["pinn", "baseline"]
Precision = Literal["float32", "mixed_bfloat16"]

# Which kinds learn from labels.
_SUPERVISED: frozenset[ModelKind] = frozenset({"baseline"})
_BORDER_CHANNELS = 4
_PINN_SIDES = range(32, 257, 16)
_PINN_INNERMOST_FILTERS = 128
# Beyond every detector and computer; what a damaged file says must not reach Keras.
_MOST_PIXELS, _MOST_GRIDSIZE = 8192, 64
_BASELINE_FILTERS = (32, 64, 128)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What decides the shape of a network; with the weights it is the whole model.

    Attributes
    ----------
    kind : "pinn" or "baseline"
    patch_size : int
        Side N of a frame in pixels: a multiple of 16 from 32 to 256 for the PINN, of 8 from 16 for the baseline.
    gridsize : int
        The network sees C = gridsize² neighbouring frames at once. The baseline takes 1.
    n_filters_scale : float
        Multiplies the number of filters of every layer.
    """

    kind: ModelKind
    patch_size: int
    gridsize: int = 1
    n_filters_scale: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what no network can be built for."""
        fields.checked(
            self,
            kind=fields.choice(self.kind, "kind", get_args(ModelKind)),
            patch_size=fields.whole_number(self.patch_size, "patch_size", at_least=1, at_most=_MOST_PIXELS),
            gridsize=fields.whole_number(self.gridsize, "gridsize", at_least=1, at_most=_MOST_GRIDSIZE),
            n_filters_scale=fields.number(self.n_filters_scale, "n_filters_scale", above=0),
        )
        if self.kind == "pinn" and self.patch_size not in _PINN_SIDES:
            raise SettingsError(
                f"patch_size N is {self.patch_size} but the PINN takes multiples of 16 from 32 to 256; "
                "crop or bin the frames."
            )
        if self.kind == "baseline" and (self.patch_size < 16 or self.patch_size % 8):
            raise SettingsError(
                f"patch_size N is {self.patch_size} but the baseline takes multiples of 8 from 16; "
                "crop or bin the frames."
            )
        if self.kind == "baseline" and self.gridsize != 1:
            raise SettingsError(
                f"gridsize is {self.gridsize} for a baseline but must be 1, it works on single frames; pass 1."
            )
        # The PINN's last features are split into a border of four and a centre, which must not be empty.
        smallest = (_BORDER_CHANNELS + 1) / 32
        if not smallest <= self.n_filters_scale <= 16:
            raise SettingsError(
                f"n_filters_scale is {self.n_filters_scale} but must be {smallest:g} to 16; 1 and 2 are usual."
            )

    @property
    def is_supervised(self) -> bool:
        """Whether the network learns from labelled patches; the others learn from diffraction alone."""
        return self.kind in _SUPERVISED

    @property
    def n_channels(self) -> int:
        """Frames C that enter the network together."""
        return self.gridsize**2

    def filters(self, count: int) -> int:
        """Return `count` filters after scaling, at least one.

        Parameters
        ----------
        count : int
            Filters at scale 1.

        Returns
        -------
        int
        """
        return max(1, round(count * self.n_filters_scale))


def build_network(architecture: Architecture, *, precision: Precision = "float32") -> keras.Model:
    """Build the untrained network of an architecture.

    Its input is amplitude (B, N, N, C) float32, normalised as `ScanData.normalised` does; its outputs are
    the object's amplitude and phase in radians, both (B, N, N, C) float32.

    Parameters
    ----------
    architecture : Architecture
    precision : {"float32", "mixed_bfloat16"}
        With the latter the convolutions compute in bfloat16 on the same float32 weights: up to three times
        the training speed where the hardware has bfloat16 units.

    Returns
    -------
    keras.Model
        Weights as Keras's generators draw them.
    """
    build = {"pinn": _pinn, "baseline": _baseline}[architecture.kind]
    network = build(architecture, precision)
    # By default Keras compiles predictions with XLA, anew for every batch size; for these networks that takes
    # seconds and computes no faster.
    network.jit_compile = False
    return network


def outline_network(architecture: Architecture) -> keras.Model:
    """Return the network of `architecture` with its layers and the shapes of its weights, but no numbers.

    It takes next to no memory, whatever the size of the network, and can compute nothing.
    """
    with shapes_alone():
        return build_network(architecture)


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Give the networks that are built in the block the shapes of their weights, and never any numbers."""
    import keras
    from keras.src.backend.common import global_state

    # Keras notes weights without numbers and makes up for them when another network is built: all of them, at
    # the sizes that a damaged or hostile file declares. It has no public way to take them off its list.
    noted = "uninitialized_variables"
    before = list(global_state.get_global_attribute(noted) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(noted, before)


def _pinn(architecture: Architecture, precision: Precision) -> keras.Model:
    import keras

    side = architecture.patch_size
    frames = keras.Input((side, side, architecture.n_channels), name="amplitude_frames")  # (B, N, N, C)
    features = frames
    for count in _pinn_encoder_filters(side):
        features = _down(features, architecture.filters(count), precision)  # at the end 8 to 15 pixels a side
    branches = {}
    for name, activation in (("amplitude", "sigmoid"), ("phase", "tanh")):  # (0, 1) and (-1, 1)
        decoded = features
        for count in _pinn_decoder_filters(side):
            decoded = _up(decoded, architecture.filters(count), precision)  # at the end (B, N/2, N/2, F)
        branches[name] = _centre_and_border(decoded, architecture, precision, activation, name)
    return keras.Model(frames, [branches["amplitude"], branches["phase"]], name="pinn")


def _pinn_halvings(side: int) -> int:
    # One more for each doubling of N, so that the innermost features are always 8 to 15 pixels a side.
    return side.bit_length() - 4


def _pinn_encoder_filters(side: int) -> tuple[int, ...]:
    # 128 at the end and half as many before each halving: 32, 64, 128 for N = 64.
    return tuple(_PINN_INNERMOST_FILTERS >> power for power in range(_pinn_halvings(side) - 1, -1, -1))


def _pinn_decoder_filters(side: int) -> tuple[int, ...]:
    # Up to N/2 pixels: a doubling less than there were halvings, the last with 32 filters, each before it with
    # twice as many.
    return tuple(32 << power for power in range(_pinn_halvings(side) - 2, -1, -1))


def _centre_and_border(
    decoded: Any, architecture: Architecture, precision: Precision, activation: str, name: str
) -> Any:
    """Join a well-resolved central N/2 square and a coarse border of N/4 around it.

    The border carries what little light falls outside the probe's core; four channels are enough for it.
    """
    import keras

    quarter = architecture.patch_size // 4  # pixels on each side of the centre
    centre = _image(decoded[..., :-_BORDER_CHANNELS], architecture, activation, f"{name}_centre")
    if activation == "tanh":
        # From (-1, 1) to radians. The border has no bound, and needs none: phases beyond π mean the same.
        centre = keras.layers.Rescaling(math.pi, name=f"{name}_radians", dtype="float32")(centre)
    centre = keras.layers.ZeroPadding2D(quarter, dtype="float32")(centre)  # (B, N, N, C)

    coarse = _up(decoded[..., -_BORDER_CHANNELS:], architecture.filters(32), precision)  # (B, N, N, F)
    whole = _image(coarse, architecture, "silu", f"{name}_border")
    # Less its own centre, the image is the border: standard layers alone, where a mask would be one of our own.
    inner = keras.layers.Cropping2D(quarter, dtype="float32")(whole)  # (B, N/2, N/2, C)
    hole = keras.layers.ZeroPadding2D(quarter, dtype="float32")(inner)
    border = keras.layers.Subtract(dtype="float32")([whole, hole])
    return keras.layers.Add(name=name, dtype="float32")([centre, border])


def _baseline(architecture: Architecture, precision: Precision) -> keras.Model:
    import keras

    side = architecture.patch_size
    frames = keras.Input((side, side, 1), name="amplitude_frames")
    features = frames
    for count in _BASELINE_FILTERS:
        features = _down(features, architecture.filters(count), precision)  # at the end (B, N/8, N/8, F)
    outputs = []
    for name in ("amplitude", "phase"):
        decoded = features
        for count in reversed(_BASELINE_FILTERS):
            decoded = _up(decoded, architecture.filters(count), precision)  # at the end (B, N, N, F)
        outputs.append(_image(decoded, architecture, "linear", name))  # (B, N, N, 1)
    return keras.Model(frames, outputs, name="baseline")


def _double_conv(features: Any, filters: int, precision: Precision) -> Any:
    import keras

    for _ in range(2):
        # Rectifiers halve the variance, and Keras's default does not make up for it: after the ten and more layers of
        # these networks the images would hardly depend on the frame, and a training begin by learning a constant.
        # doi:10.1109/ICCV.2015.123.
        features = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_uniform",
            dtype=precision,
        )(features)
    return features


def _down(features: Any, filters: int, precision: Precision) -> Any:
    import keras

    return keras.layers.MaxPooling2D(2, dtype=precision)(_double_conv(features, filters, precision))


def _up(features: Any, filters: int, precision: Precision) -> Any:
    from ptycho.models._upsampling import upsampling

    return upsampling(dtype=precision)(_double_conv(features, filters, precision))


def _image(features: Any, architecture: Architecture, activation: str, name: str) -> Any:
    """Convolve to one float32 image per frame: the outputs keep full precision whatever came before."""
    import keras

    return keras.layers.Conv2D(
        architecture.n_channels, 3, padding="same", activation=activation, name=name, dtype="float32"
    )(features)
