"""What the library calls a setting, as the flag that sets it: the one table, and the sentences it is applied to.

The library names a setting in backquotes, as a Python program writes it: `` `crop_size` ``, `` `crop_size=20` ``.
"""

from __future__ import annotations

import ast
import re

from ptycho._checks.import_options import OPTIONS

_SETTING = re.compile(r"`(?P<name>[A-Za-z_][\w.]*)(?:=(?P<value>[^`]*))?`")
# By the first option of each field.
_OPTIONS = {option.field: option for option in reversed(OPTIONS)}
FLAGS = {
    **{field: f"--{option.name}" for field, option in _OPTIONS.items()},
    "Checkpointing.folder": "--checkpoint",
    "SweepCheckpointing.folder": "--checkpoint",
    "crop_size": "--stitch-crop-size",
    "device": "--device",
    "gridsize": "--gridsize",
    "hold_out": "--hold-out",
    "layout": "--from",
    "load_arm": "--arm LABEL=PATH (ptycho compare)",
    "mask_hot": "--mask-hot",
    "n_filters_scale": "--n-filters-scale",
    "n_groups": "--n-test-groups",
    "observer": "--baseline-debug-dir",
    "partners": "--with",
    "photon_energy_j": "--energy (--wavelength, --electron)",
    "predict_batch_size": (
        "--predict-batch-size (in compare-models: --pinn-predict-batch-size or --baseline-predict-batch-size)"
    ),
    "resume": "--resume",
    "runner": "--scheduler",
    "scheduler": "--scheduler",
    "self_consistency": "--self-consistency",
    "refine": "--image (ptycho refine)",
    "start": "--init-from",
}
# `frames=…` asks for a value, and is told what one looks like.
_TO_BE_GIVEN = "…"
# Values that a flag of their own asks for.
_VALUES = {
    "register='finished'": "--register-ptychi-only in place of --skip-registration",
    "resume=False": "--overwrite",
}


def settings_as_flags(text: str) -> str:
    """Return a sentence of the library with its settings as flags; what no flag sets stays as it is."""
    return _SETTING.sub(_as_flag, text)


def _as_flag(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    if value is not None and (flag := _VALUES.get(f"{name}={value}")) is not None:
        return flag
    flag = FLAGS.get(name)
    if flag is None:
        return found[0]
    if value in (None, "True"):
        return flag
    if value == _TO_BE_GIVEN:
        return f"--{_OPTIONS[name].name} {(_OPTIONS[name].metavar or '').replace('[', '').replace(']', '')}"
    return flag.replace("--", "--no-", 1) if value == "False" else f"{flag} {_typed(value)}"


def _typed(value: str) -> str:
    """Return a value of Python's as it is typed after a flag."""
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    return ",".join(map(str, found)) if isinstance(found, tuple) else str(found)
