"""The two networks, how they are trained and kept on disk, and what inference needs of them.

Importing this package imports NumPy; TensorFlow and Keras come when a network is built, read or trained.
"""

from ptycho.models._adopting import as_trainable as as_trainable
from ptycho.models.bundle import save_bundle as save_bundle
from ptycho.models.description import InputScaling as InputScaling
from ptycho.models.description import NetworkDescription as NetworkDescription
from ptycho.models.devices import computing_on as computing_on
from ptycho.models.familiarity import Familiarity as Familiarity
from ptycho.models.familiarity import FrameStatistics as FrameStatistics
from ptycho.models.familiarity import familiarity_of as familiarity_of
from ptycho.models.familiarity import frame_statistics as frame_statistics
from ptycho.models.loading import ModelSource as ModelSource
from ptycho.models.loading import is_model as is_model
from ptycho.models.loading import load_model as load_model
from ptycho.models.networks import Architecture as Architecture
from ptycho.models.networks import ModelKind as ModelKind
from ptycho.models.networks import Precision as Precision
from ptycho.models.networks import build_network as build_network
from ptycho.models.patch_model import ForeignArchitecture as ForeignArchitecture
from ptycho.models.patch_model import PatchModel as PatchModel
from ptycho.models.patch_model import collapse_reason as collapse_reason
from ptycho.models.predictor import PatchPredictor as PatchPredictor
from ptycho.models.training import HeldOutImage as HeldOutImage
from ptycho.models.training import TrainingOrigin as TrainingOrigin
from ptycho.models.training import TrainingResult as TrainingResult
from ptycho.models.training import TrainingSettings as TrainingSettings
from ptycho.models.training import check_trainable as check_trainable
from ptycho.models.training import save_training as save_training
from ptycho.models.training import tensorboard_log as tensorboard_log
from ptycho.models.training import train as train
