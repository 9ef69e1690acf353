"""Model × scan -> image: predict a batch, add it to the canvas, drop it."""

from ptycho.reconstruction._canvases import CanvasLayout as CanvasLayout
from ptycho.reconstruction._checks import check_crop_fits as check_crop_fits
from ptycho.reconstruction._checks import check_fits as check_fits
from ptycho.reconstruction._reconstruct import plan_inference as plan_inference
from ptycho.reconstruction._reconstruct import reconstruct as reconstruct
from ptycho.reconstruction.checkpoint import Checkpointing as Checkpointing
from ptycho.reconstruction.job import BatchObserver as BatchObserver
from ptycho.reconstruction.judging import judge_constant as judge_constant
from ptycho.reconstruction.judging import judge_image as judge_image
from ptycho.reconstruction.results import HalfSets as HalfSets
from ptycho.reconstruction.results import InferencePlan as InferencePlan
from ptycho.reconstruction.results import InferenceRun as InferenceRun
from ptycho.reconstruction.results import ShardingRecord as ShardingRecord
from ptycho.reconstruction.results import StitchingRecord as StitchingRecord
from ptycho.reconstruction.settings import BatchSize as BatchSize
from ptycho.reconstruction.settings import InferenceSettings as InferenceSettings
from ptycho.reconstruction.sharding import ShardRunner as ShardRunner
