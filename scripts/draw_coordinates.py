"""Draw two pictures of `docs/coordinates.md` from the functions that place patches.

Run it with ``python scripts/draw_coordinates.py``; a test compares the files with what it draws.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptycho.data.grouping import neighbour_groups
from ptycho.image import Rectangle, object_window
from ptycho.stitching import Canvas

# The SVG of a key, and the lines of text beside it.
Entry = tuple[str, list[str]]
IMAGES = Path(__file__).parents[1] / "docs" / "images"
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
    'font-family="DejaVu Sans, Verdana, sans-serif" font-size="14">\n<title>{title}</title>\n'
    '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="#222"/></marker></defs>\n'
    '<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
)
BLUE, RED, ORANGE, GREEN, GREY = "#1f5f9e", "#c0392b", "#b9770e", "#1e8449", "#555"


class Drawing:
    """Shapes in pixels of an object, whose pixel (0, 0) has its *centre* at `corner_xy`."""

    def __init__(self, corner_xy: tuple[float, float], scale: float) -> None:
        self._corner, self._scale = corner_xy, scale
        self.parts: list[str] = []

    def at(self, y: float, x: float) -> tuple[float, float]:
        """Return the drawing's (x, y) of the object's (y, x)."""
        return self._corner[0] + self._scale * x, self._corner[1] + self._scale * y

    def square(self, top: float, left: float, rows: float, columns: float, style: str) -> None:
        """Outline whole pixels; the first one has its centre at (top, left)."""
        x, y = self.at(top - 0.5, left - 0.5)
        size = f'width="{columns * self._scale:g}" height="{rows * self._scale:g}"'
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" {size} {style}/>')

    def grid(self, rows: int, columns: int, stroke: str, *, top: float = 0.0, left: float = 0.0) -> None:
        """Draw the borders of pixels."""
        lines = [(row, 0, row, columns) for row in range(rows + 1)]
        lines += [(0, column, rows, column) for column in range(columns + 1)]
        shift = np.array([top - 0.5, left - 0.5] * 2)
        for line in lines:
            y1, x1, y2, x2 = np.array(line) + shift
            self.line(y1, x1, y2, x2, f'stroke="{stroke}"')

    def line(self, y1: float, x1: float, y2: float, x2: float, style: str) -> None:
        """Draw a line from (y1, x1) to (y2, x2)."""
        (a, b), (c, d) = self.at(y1, x1), self.at(y2, x2)
        self.parts.append(f'<line x1="{a:g}" y1="{b:g}" x2="{c:g}" y2="{d:g}" {style}/>')

    def dot(self, y: float, x: float, radius: float, style: str) -> None:
        """Draw a dot at (y, x)."""
        a, b = self.at(y, x)
        self.parts.append(f'<circle cx="{a:g}" cy="{b:g}" r="{radius}" {style}/>')

    def cross(self, y: float, x: float, colour: str) -> None:
        """Mark a mean by an oblique cross."""
        reach = 7 / self._scale
        for sign in (1, -1):
            style = f'stroke="{colour}" stroke-width="3"'
            self.line(y - reach, x - sign * reach, y + reach, x + sign * reach, style)

    def text(self, y: float, x: float, words: str, style: str = "") -> None:
        """Write words whose left end is at (y, x)."""
        a, b = self.at(y, x)
        self.parts.append(f'<text x="{a:g}" y="{b:g}" {style}>{words}</text>')


def canvas_picture() -> str:
    """Three patches, the canvas around their mean and the window of whole pixels."""
    rows, columns, patch, crop = 15, 20, 8, 4
    positions = np.array([[5.0, 6.0], [6.5, 12.25], [9.75, 9.0]])
    canvas = Canvas.around(positions, crop_size=crop)
    shape, origin = canvas.shape_yx, canvas.origin_yx
    window = object_window(positions, crop)
    drawing = Drawing((80, 90), 30)
    drawing.text(-1.7, -0.5, f"Object, {rows} x {columns} pixels; N = {patch}, M = {crop}", 'font-size="17"')
    drawing.grid(rows, columns, "#dddddd")
    for number in range(columns):
        drawing.text(-0.7, number, str(number), f'text-anchor="middle" fill="{GREY}" font-size="12"')
    for number in range(rows):
        drawing.text(number + 0.15, -0.8, str(number), f'text-anchor="end" fill="{GREY}" font-size="12"')
    start = patch // 2 - crop // 2
    for y, x in positions:
        top, left = y - patch // 2, x - patch // 2
        outline = f'fill="none" stroke="{BLUE}" stroke-opacity="0.55" stroke-width="1.5"'
        drawing.square(top, left, patch, patch, outline)
        drawing.square(top + start, left + start, crop, crop, 'fill="#7fb3e0" fill-opacity="0.55"')
    drawing.grid(*shape, "#e8c48a", top=origin[0], left=origin[1])
    drawing.square(*origin, *shape, f'fill="none" stroke="{ORANGE}" stroke-width="3"')
    dashed = f'fill="none" stroke="{GREEN}" stroke-width="3" stroke-dasharray="8 5"'
    drawing.square(*window.origin_yx, *window.shape_yx, dashed)
    for y, x in positions:
        drawing.dot(y, x, 5, f'fill="{RED}"')
    mean_y, mean_x = positions.mean(axis=0)
    drawing.cross(mean_y, mean_x, ORANGE)
    drawing.parts += _legend(700, _canvas_legend(positions, shape, origin, window))
    return _svg(1080, 560, "Where patches land on the two canvases", drawing.parts)


def _canvas_legend(
    positions: np.ndarray, shape: tuple[int, int], origin: tuple[float, float], window: Rectangle
) -> list[Entry]:
    reach = np.abs(positions - positions.mean(axis=0)).max()
    places = ", ".join(f"({y:g}, {x:g})" for y, x in positions)
    return [
        (f'<circle cx="12" cy="10" r="5" fill="{RED}"/>', [f"positions {places}"]),
        (_key(f'fill="none" stroke="{BLUE}" stroke-width="1.5"'), ["patches of N x N pixels"]),
        (_key('fill="#7fb3e0" fill-opacity="0.55"'), ["their crops of M x M pixels,", "which are stitched"]),
        (
            _legend_cross(ORANGE),
            ["mean of the positions", "({:.2f}, {:.2f})".format(*positions.mean(axis=0))],
        ),
        (
            _key(f'fill="none" stroke="{ORANGE}" stroke-width="3"'),
            [
                "canvas of reassemble_position:",
                f"S = {shape[0]}, centred on the mean, so",
                f"its pixel (0, 0) is at ({origin[0]:.2f}, {origin[1]:.2f});",
                f"largest distance {reach:.2f}, pad {(shape[0] - 4) // 2}",
            ],
        ),
        (
            _key(f'fill="none" stroke="{GREEN}" stroke-width="3" stroke-dasharray="8 5"'),
            [
                "canvas of compare-models:",
                "whole pixels of the object,",
                f"rows {window.row_start} … {window.row_stop - 1}, "
                f"columns {window.column_start} … {window.column_stop - 1}",
            ],
        ),
    ]


def groups_picture() -> str:
    """One seed point, its neighbours, the members drawn from them, and the shift to their centre."""
    rng = np.random.default_rng(3)
    raster = np.stack(np.meshgrid(np.arange(5), np.arange(6), indexing="ij"), axis=-1).reshape(-1, 2)
    positions = raster * [8.0, 9.0] + rng.uniform(-1.6, 1.6, size=(30, 2))
    seed = 14
    groups = neighbour_groups(positions, gridsize=2, rng=np.random.default_rng(6))
    members, centre = groups.indices[seed], groups.centres_yx[seed]
    distances = np.hypot(*(positions - positions[seed]).T)
    neighbours = np.argsort(distances)[1:8]
    drawing = Drawing((70, 90), 9.5)
    drawing.text(-6.2, -3, "30 scan points; the group of one of them for gridsize 2", 'font-size="17"')
    for y, x in positions:
        drawing.dot(y, x, 5, 'fill="#bbbbbb"')
    for y, x in positions[neighbours]:
        drawing.dot(y, x, 9, f'fill="none" stroke="{BLUE}" stroke-width="2"')
    (centre_y, centre_x), (seed_y, seed_x) = centre, positions[seed]
    for y, x in positions[members]:
        drawing.dot(y, x, 5, f'fill="{BLUE}"')
        drawing.line(y, x, centre_y, centre_x, 'stroke="#222" stroke-width="1.5" marker-end="url(#tip)"')
    drawing.dot(seed_y, seed_x, 6, f'fill="{RED}"')
    drawing.cross(centre_y, centre_x, ORANGE)
    drawing.parts += _legend(600, _groups_legend(centre, groups.relative_yx[seed]))
    return _svg(1000, 440, "A group of neighbouring frames and its centre", drawing.parts)


def _groups_legend(centre: np.ndarray, relative: np.ndarray) -> list[Entry]:
    shifts = ["({:+.1f}, {:+.1f})".format(*shift) for shift in relative]
    return [
        (f'<circle cx="12" cy="10" r="6" fill="{RED}"/>', ["the point that the group is formed around"]),
        (
            f'<circle cx="12" cy="10" r="8" fill="none" stroke="{BLUE}" stroke-width="2"/>',
            ["its 7 nearest neighbours, itself left out"],
        ),
        (
            f'<circle cx="12" cy="10" r="5" fill="{BLUE}"/>',
            ["4 of them, drawn at random: the members,", "one channel of the network each"],
        ),
        (
            _legend_cross(ORANGE),
            [
                "centre, the mean of the members:",
                "({:.1f}, {:.1f}). The network's one".format(*centre),
                "patch is stitched here",
            ],
        ),
        (
            '<line x1="0" y1="10" x2="26" y2="10" stroke="#222" stroke-width="1.5" marker-end="url(#tip)"/>',
            [
                "relative positions, the shift that",
                "brings a member to the centre:",
                ", ".join(shifts[:2]) + ",",
                ", ".join(shifts[2:]),
            ],
        ),
    ]


def _key(style: str) -> str:
    return f'<rect x="0" y="0" width="24" height="20" {style}/>'


def _legend_cross(colour: str) -> str:
    strokes = ("M5,3 L19,17", "M19,3 L5,17")
    return "".join(f'<path d="{stroke}" stroke="{colour}" stroke-width="3"/>' for stroke in strokes)


def _legend(left: int, entries: list[Entry]) -> list[str]:
    parts, top = [], 90
    for key, lines in entries:
        parts.append(f'<g transform="translate({left},{top})">{key}</g>')
        parts += [
            f'<text x="{left + 36}" y="{top + 15 + 19 * number}">{line}</text>'
            for number, line in enumerate(lines)
        ]
        top += 19 * len(lines) + 20
    return parts


def _svg(width: int, height: int, title: str, parts: list[str]) -> str:
    head = _HEAD.format(width=width, height=height, title=title)
    return head + "\n".join(parts) + "\n</svg>\n"


PICTURES = {"canvas.svg": canvas_picture, "groups.svg": groups_picture}


def main() -> None:
    """Write both pictures."""
    for name, picture in PICTURES.items():
        (IMAGES / name).write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()
