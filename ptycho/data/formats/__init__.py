"""Files of every kind into one `ScanData`: one module a format, told apart by what a file holds."""

from ptycho.data.formats._partners import partners_of as partners_of
from ptycho.data.formats._reading import detect_format as detect_format
from ptycho.data.formats._reading import is_reconstruction as is_reconstruction
from ptycho.data.formats._reading import read_reconstruction as read_reconstruction
from ptycho.data.formats._reading import read_scan as read_scan
from ptycho.data.formats._series import files_of as files_of
from ptycho.data.formats.tike import read_tike as read_tike
