from .batch_builder import BatchBuilder
from .checking import missing_share, problems
from .datamodule import RecordingDataModule
from .episode import Episode, EpisodeInfo, EpisodeSource
from .geometry import Geometry
from .recording import Recording
from .recording_set import RecordingSet
from .splits import split_episodes
from .window_batch import Windows, collate
from .windows import WindowDataset
from .writer import write_recording

__all__ = [
    'BatchBuilder',
    'Episode',
    'EpisodeInfo',
    'EpisodeSource',
    'Geometry',
    'Recording',
    'RecordingDataModule',
    'RecordingSet',
    'WindowDataset',
    'Windows',
    'collate',
    'missing_share',
    'problems',
    'split_episodes',
    'write_recording',
]
