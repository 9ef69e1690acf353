"""One scan in memory, and the readers and writers of its files."""

from ptycho.data.checks import check_plausible as check_plausible
from ptycho.data.npz import read_npz as read_npz
from ptycho.data.npz import write_npz as write_npz
from ptycho.data.scan import ScanData as ScanData
