"""One scan in memory, and the readers and writers of its files."""

from ptycho.data.scan import ScanData as ScanData
