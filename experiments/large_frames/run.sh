#!/bin/sh
# Both stages on frames of 256 px, for one GPU; the recording is simulated first (needs MuJoCo, MUJOCO_GL=egl).
#   experiments/large_frames/run.sh [EPISODES] [SECONDS]
set -e
runs=runs/large_frames data=runs/large_frames/ur5_256.h5
LIPFAULT=${LIPFAULT:-.venv/bin/python -m lipfault}
mkdir -p "$runs"
if [ ! -e "$data" ]; then
  $LIPFAULT data simulate --cell ur5 --image_size 256 --episodes "${1:-36}" --episode_s "${2:-10}" \
    --out "$data"
fi
$LIPFAULT fit --config configs/pretrain.yaml --config configs/256px/pretrain.yaml --data.path "$data" \
  --trainer.max_epochs 40 --trainer.check_val_every_n_epoch 40 --run "$runs/pretrain"
$LIPFAULT test --ckpt_path "$runs/pretrain"
$LIPFAULT fit --config configs/finetune.yaml --config configs/256px/finetune.yaml --data.path "$data" \
  --trainer.max_epochs 20 --trainer.check_val_every_n_epoch 20 \
  --model.pretrained "$runs/pretrain" --run "$runs/finetune"
$LIPFAULT test --ckpt_path "$runs/finetune"
