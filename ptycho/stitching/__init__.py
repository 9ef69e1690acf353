"""Stitching: patches and scan positions onto one canvas."""

from ptycho.stitching.canvas import Canvas as Canvas
