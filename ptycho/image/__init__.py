"""Registration, phase alignment and cropping of complex images."""

from ptycho.image.cropping import Rectangle as Rectangle
from ptycho.image.cropping import centre_crop as centre_crop
from ptycho.image.cropping import largest_rectangle as largest_rectangle
from ptycho.image.cropping import object_window as object_window
from ptycho.image.cropping import whole_image as whole_image
from ptycho.image.cropping import window_of_positions as window_of_positions
from ptycho.image.phase import PhaseAlignMethod as PhaseAlignMethod
from ptycho.image.phase import PhaseRamp as PhaseRamp
from ptycho.image.phase import continuous_phase as continuous_phase
from ptycho.image.phase import detrended_phase as detrended_phase
from ptycho.image.phase import fit_phase_ramp as fit_phase_ramp
from ptycho.image.placed import PlacedImage as PlacedImage
from ptycho.image.placed import place_image as place_image
from ptycho.image.placed import shift_image as shift_image
from ptycho.image.registration import Registration as Registration
from ptycho.image.registration import aligned as aligned
from ptycho.image.registration import register as register
