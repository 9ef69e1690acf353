"""One scan in memory, and the readers, writers and simulations that make it."""

from ptycho.data.checks import check_plausible as check_plausible
from ptycho.data.formats import detect_format as detect_format
from ptycho.data.formats import read_reconstruction as read_reconstruction
from ptycho.data.formats import read_scan as read_scan
from ptycho.data.formats import read_tike as read_tike
from ptycho.data.geometry import ScanGeometry as ScanGeometry
from ptycho.data.grouping import Groups as Groups
from ptycho.data.grouping import neighbour_groups as neighbour_groups
from ptycho.data.illumination import consistent_probe as consistent_probe
from ptycho.data.illumination import probe_energy_ratio as probe_energy_ratio
from ptycho.data.npz import read_npz as read_npz
from ptycho.data.npz import write_npz as write_npz
from ptycho.data.phantoms import defocused_probe as defocused_probe
from ptycho.data.phantoms import random_lines as random_lines
from ptycho.data.phantoms import random_positions as random_positions
from ptycho.data.phantoms import raster_positions as raster_positions
from ptycho.data.reconstruction import Reconstruction as Reconstruction
from ptycho.data.reconstruction import with_reconstruction as with_reconstruction
from ptycho.data.reconstruction import write_reconstruction as write_reconstruction
from ptycho.data.sampling import subsample as subsample
from ptycho.data.sampling import subsample_indices as subsample_indices
from ptycho.data.scan import ScanData as ScanData
from ptycho.data.simulation import SimulationSettings as SimulationSettings
from ptycho.data.simulation import extract_patches as extract_patches
from ptycho.data.simulation import simulate as simulate
from ptycho.data.simulation import simulate_scan as simulate_scan
