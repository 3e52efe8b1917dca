"""One continuous recording of a robot cell, in memory."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass
class Episode:
    """Synchronous signals of several modalities, all starting at t = 0.

    Args:
        episode_id: Unique in its data set, such as `ur5-0003`.
        signals: For each modality its samples at the modality's own rate: an image stream
            (frames, height, width, channel) uint8, a series (steps, channel) float32 in physical
            units.
        parameters: What was drawn for the episode (speed, load, ...), for whoever studies it;
            nothing is learned from them.
        present: For a modality with truly missing samples, (steps,) bool, false where a sample is
            missing; a series may hold NaN there.
    """

    episode_id: str
    signals: dict[str, npt.NDArray[np.uint8] | npt.NDArray[np.float32]]
    parameters: dict[str, float | str] = field(default_factory=dict)
    present: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
