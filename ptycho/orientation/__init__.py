"""How positions and frames are turned against each other, told from a few frames of the scan itself."""

from ptycho.orientation._check import check_orientation as check_orientation
from ptycho.orientation.results import OrientationFindings as OrientationFindings
from ptycho.orientation.results import OrientationTrial as OrientationTrial
from ptycho.orientation.settings import OrientationSettings as OrientationSettings
from ptycho.orientation.turns import Turn as Turn
