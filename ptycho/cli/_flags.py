"""Parsers, flags that several commands have, their types, and the settings that they make."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ptycho._checks import fields
from ptycho._error_wording import in_words
from ptycho.cli._errors import UsageError
from ptycho.cli._logging import LEVELS
from ptycho.cli._parser import ForeignFlags, Parser
from ptycho.cli._paths import check_output_file

if TYPE_CHECKING:
    from ptycho.distributed import WorkerDevices
    from ptycho.refinement import RefinementSettings

logger = logging.getLogger(__name__)

Settings = TypeVar("Settings")


def argument_parser(prog: str, description: str, ptychopinn: ForeignFlags | None = None) -> Parser:
    """Return a command's parser; `ptychopinn` has the flags of PtychoPINN's command of the same purpose."""
    return Parser(prog, description, ptychopinn)


class FilesAnywhere(Parser):
    """A parser whose files may stand before and after its flags, though there are one or two of them."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, the files last."""
        return self.parse_intermixed_args(args, namespace)


def settings_from(arguments: argparse.Namespace, kind: type[Settings], **others: Any) -> Settings:
    """Make settings of `kind` from the flags whose destination is one of its fields, and from `others`."""
    names = [field.name for field in dataclasses.fields(kind)]  # pyright: ignore[reportArgumentType]
    found = {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
    return kind(**{**found, **others})


def add_display_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet``, ``--verbose`` and ``--console-level``, of which one may be given."""
    flags = parser.add_argument_group("display").add_mutually_exclusive_group()
    flags.add_argument("--quiet", action="store_true", help="nothing on the console but errors")
    flags.add_argument("--verbose", action="store_true", help="everything, as --console-level DEBUG")
    flags.add_argument("--console-level", choices=LEVELS, default="INFO", help="least level (default INFO)")


def add_device_flag(parser: argparse._ActionsContainer, *, several: bool = False) -> None:
    """Add ``--device``; its value is None for ``auto``, else TensorFlow's name of the device.

    With `several` it takes a list too: ``device`` is then the first of it, and ``worker_devices`` the list.
    """
    if not several:
        parser.add_argument(
            "--device", type=_device, metavar="auto|cpu|GPU:i", help="where to compute (default auto)"
        )
        return
    parser.set_defaults(worker_devices=None)
    parser.add_argument(
        "--device",
        action=_Devices,
        type=_devices,
        metavar="auto|cpu|GPU:i|GPU:i,GPU:j|cpu:N",
        help="where to compute (default auto); a worker for each of several cards, or N that share the processors, do "
        "it in shards",
    )


class _Devices(argparse.Action):
    """Keep the device of this process, and the list of those that have workers."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        namespace.device, namespace.worker_devices = values


def _device(text: str) -> str | None:
    if text.lower() == "auto":
        return None
    name = fields.device_name(text)
    if name is None:
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu and GPU:i (for example GPU:0)")
    return name


def _devices(text: str) -> tuple[str | None, WorkerDevices | None]:
    if text.lower() == "auto" or fields.device_name(text) is not None:
        return _device(text), None
    from ptycho.distributed.devices import WorkerDevices
    from ptycho.errors import SettingsError

    try:
        devices = WorkerDevices.of(text)
    except SettingsError as error:
        if "," in text:
            raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of auto, cpu and GPU:i (for example GPU:0), and no list: GPU:0,GPU:1 or cpu:2"
        ) from None
    return devices.names[0], devices


def add_batch_size(group: argparse._ActionsContainer, flag: str, what: str) -> None:
    """Add a flag that takes ``auto`` or the first size and upper limit of a batch."""
    group.add_argument(
        flag,
        type=auto_or_positive_int,
        default="auto",
        metavar="auto|N",
        help=f"{what} (default auto); N is first size and upper limit",
    )


def add_memory(group: argparse._ActionsContainer) -> None:
    """Add what changes memory and speed alone: fields of `InferenceSettings` too; see `check_batch_memo`."""
    add_batch_size(group, "--stitch-batch-size", "patches entering the canvas at once")
    group.add_argument(
        "--batch-memo",
        type=Path,
        metavar="PATH",
        help="file in which the networks' batch sizes that worked and failed are kept for later runs, by network, "
        "frames, crop, device and TensorFlow's version (default none)",
    )
    add_device_flag(group, several=True)


def check_batch_memo(arguments: argparse.Namespace) -> None:
    """Refuse a place where no memo can be; go without a file that is none, for it changes no result."""
    path: Path | None = arguments.batch_memo
    if path is None:
        return
    from autobatch import BatchMemo

    check_output_file(path, overwrite=True)
    try:
        BatchMemo(path, "").check()
    except (ValueError, OSError) as error:
        logger.warning("batch sizes are neither recalled nor remembered: %s", in_words(error))
        arguments.batch_memo = None


def add_stitching(group: argparse._ActionsContainer) -> None:
    """Add what decides the image that a model makes: one flag a field of `InferenceSettings`, its `dest`.

    Whether the crop fits the frames is checked when they are known.
    """
    group.add_argument(
        "--stitch-crop-size",
        dest="crop_size",
        type=positive_int,
        default=20,
        metavar="M",
        help="side of the central square of each patch that is stitched, 0 < M <= N (default 20)",
    )
    group.add_argument(
        "--self-consistency",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="FRC of halves of the patches and disagreement of overlapping patches, which need no truth; "
        "the canvas takes ten times its memory (default on)",
    )
    group.add_argument(
        "--verdict",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="recompute the frames from image and patches and say how well they explain the measured ones, which "
        "needs no truth (default on)",
    )


def add_mask_hot(group: argparse._ActionsContainer) -> None:
    """Add ``--mask-hot``, an argument of `read_scan`, for commands that read the frames of a scan."""
    group.add_argument(
        "--mask-hot",
        action="store_true",
        help="mask the hot and dead pixels of the detector, which a warning names in any case (default off)",
    )


def add_refinement(group: argparse._ActionsContainer) -> None:
    """Add ``--refine``; `refinement_from` makes settings of it."""
    group.add_argument(
        "--refine",
        type=positive_int,
        metavar="N",
        help="also improve each model's image by N sweeps over the frames with the scan's probe: an image of its own "
        "beside the unrefined one",
    )


def refinement_from(arguments: argparse.Namespace) -> RefinementSettings | None:
    """Return the settings that ``--refine`` asks for, None if it was not given."""
    if arguments.refine is None:
        return None
    from ptycho.refinement import RefinementSettings

    return RefinementSettings(sweeps=arguments.refine)


def add_run_flags(group: argparse._ActionsContainer) -> None:
    """Add ``--output_dir``, ``--overwrite`` and ``--dry-run``."""
    group.add_argument("--output_dir", type=Path, required=True, metavar="DIR", help="folder of all results")
    group.add_argument("--overwrite", action="store_true", help="replace results that are already there")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, print the plan and its memory, compute nothing",
    )


def add_export(group: argparse._ActionsContainer) -> None:
    """Add ``--export``."""
    group.add_argument(
        "--export",
        nargs="+",
        choices=("product", "cxi", "tiff"),
        default=[],
        metavar="FORMAT",
        help="also write the stitched image for other programs: product (ptychodus), cxi, tiff (32 bits)",
    )


def add_colour_scale(group: argparse._ActionsContainer) -> None:
    """Add ``--p_min`` and ``--p_max``; `check_colour_scale` compares them."""
    for name, default, end in (("p_min", 10.0, "lower"), ("p_max", 90.0, "upper")):
        group.add_argument(
            f"--{name}",
            type=_percentile,
            default=default,
            metavar="PERCENT",
            help=f"percentile at the {end} end of the colour scale (default {default:g})",
        )


def add_figure_files(group: argparse._ActionsContainer) -> None:
    """Add ``--figure-format`` and ``--figure-dpi``, fields of `PlotOptions`."""
    group.add_argument(
        "--figure-format",
        dest="formats",
        nargs="+",
        choices=("png", "pdf", "svg"),
        default=("png",),
        metavar="FORMAT",
        help="files of each picture: png, pdf, svg, one or more of them (default png)",
    )
    group.add_argument(
        "--figure-dpi",
        dest="dpi",
        type=_dpi,
        default=150,
        metavar="DPI",
        help="pixels in an inch of a PNG, and of the images within a PDF or SVG (default 150)",
    )


def check_colour_scale(arguments: argparse.Namespace) -> None:
    """Refuse percentiles in the wrong order."""
    if not arguments.p_min < arguments.p_max:
        raise UsageError(
            f"--p_min is {arguments.p_min:g} and --p_max {arguments.p_max:g} but p_min must be the smaller; swap them."
        )


def add_phase_limits(group: argparse._ActionsContainer, prefix: str = "") -> None:
    """Add ``--<prefix>phase_vmin`` and ``--<prefix>phase_vmax``; `check_phase_limits` compares them."""
    whose = f" of the {prefix.rstrip('_')}" if prefix else ""
    for end in ("vmin", "vmax"):
        group.add_argument(
            f"--{prefix}phase_{end}", type=finite, metavar="RAD", help=f"fixed phase limit{whose}"
        )


def phase_limits(arguments: argparse.Namespace, prefix: str = "") -> tuple[float | None, float | None]:
    """Return the lower and upper limit that the flags of `add_phase_limits` give, in radians."""
    return getattr(arguments, f"{prefix}phase_vmin"), getattr(arguments, f"{prefix}phase_vmax")


def check_phase_limits(arguments: argparse.Namespace, prefix: str = "") -> None:
    """Refuse limits in the wrong order."""
    low, high = phase_limits(arguments, prefix)
    if low is not None and high is not None and not low < high:
        raise UsageError(
            f"--{prefix}phase_vmin is {low:g} and --{prefix}phase_vmax {high:g} but vmin must be the smaller; "
            "swap them."
        )


def seed(text: str) -> int:
    """Parse a seed that every generator takes; an argparse type."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return int(text)


def positive(text: str) -> float:
    """Parse a finite number above 0; an argparse type."""
    value = finite(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def not_negative(text: str) -> float:
    """Parse a finite number of at least 0; an argparse type."""
    value = finite(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return value


def fraction(text: str) -> float:
    """Parse a number between 0 and 1, both excluded; an argparse type."""
    value = number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value


def finite(text: str) -> float:
    """Parse a finite number; an argparse type."""
    value = number(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def number(text: str) -> float:
    """Parse a number; an argparse type."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _percentile(text: str) -> float:
    value = number(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentile from 0 to 100")
    return value


def _dpi(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if not 20 <= value <= 1200:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 20 to 1200")
    return value


def positive_int(text: str) -> int:
    """Parse an integer of at least 1; an argparse type."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def auto_or_positive_int(text: str) -> int | str:
    """Parse ``auto`` or an integer of at least 1; an argparse type."""
    if text == "auto":
        return text
    try:
        return positive_int(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither 'auto' nor a whole number of at least 1"
        ) from None
