"""Image × frames -> a better image: sweeps over the measured frames."""

from ptycho.refinement._refine import Refine as Refine
from ptycho.refinement._refine import refine as refine
from ptycho.refinement.checkpoint import SweepCheckpointing as SweepCheckpointing
from ptycho.refinement.results import RefinementRun as RefinementRun
from ptycho.refinement.results import SweepRecord as SweepRecord
from ptycho.refinement.settings import RefinementSettings as RefinementSettings
