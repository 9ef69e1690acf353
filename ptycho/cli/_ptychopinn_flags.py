"""Flags that PtychoPINN's three commands have and ours spell otherwise, settle, or do without.

Those that both spell alike, but for `_` and `-`, need no entry. docs/coming-from-ptychopinn.md has the same tables.
"""

from __future__ import annotations

from ptycho.cli._parser import Foreign, ForeignFlags, Missing, Renamed, Settled

_TORCH = {"torch-": Missing("PyTorch is not used; networks are Keras models on TensorFlow")}
_BACKEND = Settled(("tensorflow",), "networks are Keras models on TensorFlow")
_CONFIG = Missing("no configuration file is read; give its settings as flags")
_SIDE = "the side of the frames is read from the scan; leave it out"

_WHOLE_SCAN = Missing(
    "ptycho-reconstruct takes every frame; for a part of them use "
    "compare-models --arm LABEL=MODEL --n-test-subsample COUNT --test-subsample-seed SEED"
)
_EVERY_FRAME = Missing(
    "every frame is learnt from; write a smaller scan with ptycho.data.subsample and ptycho.data.write_npz"
)
_OTHER_LOSS = (
    "the pinn learns from the Poisson likelihood of the counts, the baseline from the mean absolute error"
)
_FIXED_PROBE = "the probe of the scan is taken as it is"

COMPARE = ForeignFlags(
    {
        "n-test-images": Renamed("--n-test-groups"),
        "n-subsample": Renamed("--n-test-subsample"),
        "subsample-seed": Renamed("--test-subsample-seed"),
    }
)

RECONSTRUCT = ForeignFlags(
    {
        "model-path": Renamed("--model_dir"),
        "test-data-file": Renamed("--test_data"),
        "debug": Renamed("--verbose"),
        "n-images": _WHOLE_SCAN,
        "n-groups": _WHOLE_SCAN,
        "n-subsample": _WHOLE_SCAN,
        "subsample-seed": _WHOLE_SCAN,
        "comparison-plot": Missing(
            "an image is compared with the truth by compare-models --arm LABEL=MODEL, which draws them side by side"
        ),
        "neighbor-count": Settled(("7",), "a group is drawn from the seven nearest neighbours"),
        "gridsize": Missing("the model's file tells it; leave it out"),
        "N": Missing(_SIDE),
        "config": _CONFIG,
        "backend": _BACKEND,
    },
    {
        "debug-": Missing(
            "logs/debug.log in --output_dir always holds everything; compare-models --baseline-debug-dir "
            "keeps what a baseline saw and put out"
        ),
        **_TORCH,
    },
)

_NETWORK: dict[str, Foreign] = {
    "N": Missing(_SIDE),
    "model-type": Renamed("--model", {"supervised": "baseline"}),
    "amp-activation": Settled(("sigmoid",), "the amplitude of a patch lies between 0 and 1"),
    "object-big": Settled(("true",), "the patches of a group are put together before they are compared"),
    "probe-big": Settled(("true",), "the border of a patch is predicted too"),
    "pad-object": Settled(("true",), "the network's main branch predicts the central half of a patch"),
    "probe-mask": Settled(("false", "none"), "no mask is laid over the probe; mask probeGuess in the scan"),
    "probe-scale": Missing("the probe is scaled to the counts in the frames; leave it out"),
    "gaussian-smoothing-sigma": Settled(("0",), "patches are not smoothed"),
    "use-xla-translate": Settled(("true", "false"), "it changes speed alone"),
}

_LEARNING: dict[str, Foreign] = {
    "train-data-file": Renamed("--train_data"),
    "nepochs": Renamed("--epochs"),
    "debug": Renamed("--verbose"),
    "test-data-file": Missing(
        "a share of the training scans is held out (--validation-fraction); judge the model afterwards with "
        "compare-models --test_data"
    ),
    "do-stitching": Settled(("false",), "ptycho-reconstruct makes the image once the model is there"),
    "n-images": _EVERY_FRAME,
    "n-groups": _EVERY_FRAME,
    "n-subsample": _EVERY_FRAME,
    "subsample-seed": _EVERY_FRAME,
    "sequential-sampling": Settled(("false",), _EVERY_FRAME.answer),
    "neighbor-count": Settled(("7",), "a group is drawn from the seven nearest neighbours"),
    "nphotons": Missing("frames are brought to one scale, whatever their counts; leave it out"),
    "nll-weight": Settled(("1",), _OTHER_LOSS),
    "mae-weight": Settled(("0",), _OTHER_LOSS),
    "realspace-mae-weight": Settled(("0",), _OTHER_LOSS),
    "realspace-weight": Settled(("0",), _OTHER_LOSS),
    "positions-provided": Settled(("true",), "a scan without positions has no overlap to learn from"),
    "probe-trainable": Settled(("false",), _FIXED_PROBE),
    "intensity-scale-trainable": Settled(("true", "false"), "the scale cancels"),
    "config": _CONFIG,
    "backend": _BACKEND,
}

TRAIN = ForeignFlags({**_NETWORK, **_LEARNING}, _TORCH)
