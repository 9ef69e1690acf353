"""Templates filled without trust: every text is escaped, and no script runs but the page's own."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_FOLDER = Path(__file__).parent
# Cividis, Twilight and PuOr keep their order for every kind of colour vision; so does Viridis.
_COLOUR_MAPS = ("cividis", "twilight", "PuOr", "viridis")
# What would end a script element or begin a comment in it, and what JavaScript takes for the end of a line.
_RISKY = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def rendered(template: str, *, scripts: tuple[str, ...], styles: tuple[str, ...], **values: Any) -> str:
    """Fill a template.

    Parameters
    ----------
    template : str
        Name of a file in ``templates/``.
    scripts, styles : tuple of str
        Files of this folder that go into the page, in order. The page forbids every other script and every connection.
    **values
        What the template names.

    Returns
    -------
    str
        The page.
    """
    sources = [(_FOLDER / name).read_text(encoding="utf-8") for name in scripts]
    sheets = [(_FOLDER / name).read_text(encoding="utf-8") for name in styles]
    return (
        _environment()
        .get_template(template)
        .render(
            scripts=[_own(source) for source in sources],
            styles=[_own(sheet) for sheet in sheets],
            policy=_policy(sources),
            **values,
        )
    )


def embedded_json(values: object) -> Markup:
    """Return strict JSON that can stand in a script element whatever texts are in it."""
    from markupsafe import Markup

    text = json.dumps(values, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.translate(_RISKY))


def colour_maps() -> dict[str, str]:
    """Return the page's colour maps, each as 256 colours of six hexadecimal digits."""
    from matplotlib import colormaps

    return {
        name: "".join(bytes(rgba[:3]).hex() for rgba in colormaps[name](range(256), bytes=True))
        for name in _COLOUR_MAPS
    }


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates", encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    from ptycho.report.page._course import bytes_text

    environment.filters["bytes"] = bytes_text
    environment.filters["json"] = embedded_json
    return environment


def _own(text: str) -> Markup:
    from markupsafe import Markup

    assert "</script" not in text.lower()
    assert "</style" not in text.lower()
    return Markup(text)


def _policy(sources: list[str]) -> str:
    """Return a content security policy by which these scripts run and no others, and nothing is loaded."""
    digests = [base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in sources]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
