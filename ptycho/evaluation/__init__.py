"""How good is a reconstruction: textbook metrics, ring correlation, and an older convention."""

from ptycho.evaluation.consistency import SelfConsistency as SelfConsistency
from ptycho.evaluation.consistency import measure_consistency as measure_consistency
from ptycho.evaluation.frame_spread import FrameSpread as FrameSpread
from ptycho.evaluation.frc import half_set_frc as half_set_frc
from ptycho.evaluation.metrics import compare_images as compare_images
from ptycho.evaluation.metrics import seen_images as seen_images
from ptycho.evaluation.misfit import FrameMisfit as FrameMisfit
from ptycho.evaluation.misfit import Misfit as Misfit
from ptycho.evaluation.probes import probe_overlap as probe_overlap
from ptycho.evaluation.ptychopinn_convention import compare_by_ptychopinn as compare_by_ptychopinn
from ptycho.evaluation.results import METRIC_CONVENTIONS as METRIC_CONVENTIONS
from ptycho.evaluation.results import METRIC_NAMES as METRIC_NAMES
from ptycho.evaluation.results import ChannelPair as ChannelPair
from ptycho.evaluation.results import FrcCurve as FrcCurve
from ptycho.evaluation.results import FrcCurves as FrcCurves
from ptycho.evaluation.results import FrcCutoff as FrcCutoff
from ptycho.evaluation.results import FrcCutoffs as FrcCutoffs
from ptycho.evaluation.results import ImageMetrics as ImageMetrics
from ptycho.evaluation.results import MetricConvention as MetricConvention
from ptycho.evaluation.results import ScoredImages as ScoredImages
from ptycho.evaluation.results import SeenImages as SeenImages
from ptycho.evaluation.verdict import Verdict as Verdict
from ptycho.evaluation.verdict import pass_verdict as pass_verdict
