"""Door for callers that know training by this address; the code is in `ptycho.models.training`."""

from ptycho.models.training import TrainingOrigin as TrainingOrigin
from ptycho.models.training import TrainingResult as TrainingResult
from ptycho.models.training import TrainingSettings as TrainingSettings
from ptycho.models.training import check_trainable as check_trainable
from ptycho.models.training import save_training as save_training
from ptycho.models.training import train as train
