"""The configurations for frames of 256 px build and run."""

from dataclasses import replace
from pathlib import Path

import torch
import yaml

from lipfault.data.recording import Recording
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.sizes import CoderConfig
from lipfault.models.blocks.fault_map.block import FaultMapBlock
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.types import Observation
from lipfault.models.relations.relations import Relations

ROOT = Path(__file__).parents[2]


def arguments(file):
    return yaml.safe_load((ROOT / 'configs' / file).read_text())['model']['init_args']


def test_frames_of_256_px():
    known = Recording(ROOT / 'data/ur5.h5').modalities
    modalities = {n: replace(m, size=(256, 256)) if m.size else m for n, m in known.items()}
    coder = arguments('256px/pretrain.yaml')['coder']
    coder['image_widths'] = tuple(coder['image_widths'])
    autoencoder = Autoencoder(modalities, {'kinematics': 64}, CoderConfig(**coder))
    assert autoencoder.latent_shape('camera') == (64, 8, 8)
    relations = Relations(autoencoder, modalities)
    block = FaultMapBlock(
        autoencoder, relations, modalities, BlockConfig(**arguments('256px/finetune.yaml')['block'])
    )
    channels = len(modalities['kinematics'].channels)
    signals = {'camera': torch.randn(1, 3, 256, 256), 'kinematics': torch.randn(1, channels, 64)}
    with torch.no_grad():
        found, corrected = block.eval()(Observation(signals))
    assert found.map_logits['camera'].shape == (1, 1, 256, 256)
    assert all(corrected.signals[n].shape == x.shape for n, x in signals.items())
