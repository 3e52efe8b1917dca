from . import data as data
from . import faults as faults
from . import lipschitz as lipschitz
from .data.recording import Recording as Recording
from .data.writer import write_recording as write_recording
from .errors import LipfaultError as LipfaultError
from .modality import Modality as Modality
from .tasks.prediction import Prediction as Prediction
from .tasks.trained import TrainedModel as TrainedModel
from .tasks.trained import load as load

__all__ = [
    'LipfaultError',
    'Modality',
    'Prediction',
    'Recording',
    'TrainedModel',
    'data',
    'faults',
    'lipschitz',
    'load',
    'write_recording',
]

__version__: str
