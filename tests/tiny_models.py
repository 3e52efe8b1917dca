"""Configurations of tiny models of both stages, for tests that train them by command."""

PRETRAIN = """
model:
  class_path: lipfault.tasks.pretrain.PretrainTask
  init_args:
    coder:
      {image_latent: 4, image_widths: [4, 6], series_latent: 6, series_patch: 16, series_width: 8}
    relations: {width: 16, depth: 2, channels: 6, grid: 4}
"""
FINETUNE = """
model:
  class_path: lipfault.tasks.finetune.FinetuneTask
  init_args:
    block:
      {corrector_width: 32, detector_width: 24, embedding: 8, local_widths: {series: 8, image: 8}}
    config:
      false_alarm_rate: 0.1
"""
