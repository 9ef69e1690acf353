"""Ptychography networks: data, simulation, training, stitching and honest comparison."""

from ptycho._version import __version__ as __version__
