"""One scan in memory, and the readers and writers of its files."""

from ptycho.data.checks import check_plausible as check_plausible
from ptycho.data.formats import detect_format as detect_format
from ptycho.data.formats import read_reconstruction as read_reconstruction
from ptycho.data.formats import read_scan as read_scan
from ptycho.data.formats import read_tike as read_tike
from ptycho.data.geometry import ScanGeometry as ScanGeometry
from ptycho.data.illumination import consistent_probe as consistent_probe
from ptycho.data.illumination import probe_energy_ratio as probe_energy_ratio
from ptycho.data.npz import read_npz as read_npz
from ptycho.data.npz import write_npz as write_npz
from ptycho.data.reconstruction import Reconstruction as Reconstruction
from ptycho.data.reconstruction import with_reconstruction as with_reconstruction
from ptycho.data.reconstruction import write_reconstruction as write_reconstruction
from ptycho.data.sampling import subsample as subsample
from ptycho.data.sampling import subsample_indices as subsample_indices
from ptycho.data.scan import ScanData as ScanData
