"""The forward model: an object's image, a probe and scan positions -> the amplitudes that a detector sees."""

from ptycho.diffraction.far_field import expected_amplitude as expected_amplitude
from ptycho.diffraction.far_field import far_field as far_field
from ptycho.diffraction.far_field import far_field_intensity as far_field_intensity
from ptycho.diffraction.spline_object import SplineObject as SplineObject
from ptycho.diffraction.under_frames import spread_under_frames as spread_under_frames
