#!/bin/bash
# Both stages for one cell and seed, into runs/main_path/<cell>-<seed>; skips a stage that is tested.
# With `paper` also stage 2 with the compute block as published.
# Usage: experiments/main_path/run.sh CELL SEED [paper]
set -euo pipefail
cell=$1 seed=$2
root=runs/main_path/$cell-$seed
lipfault=${LIPFAULT:-.venv/bin/lipfault}
common=(--config "configs/data/$cell.yaml" --seed_everything "$seed" --data.seed "$seed")
stage() { # name, configuration, then the arguments of fit
  local name=$1 config=$2
  shift 2
  [ -f "$root/$name/metrics.json" ] && return
  rm -rf "${root:?}/$name"
  "$lipfault" fit --config "configs/$config.yaml" "${common[@]}" --run "$root/$name" "$@"
  "$lipfault" test --ckpt_path "$root/$name"
}
case $cell in
  welding_*) stage pretrain pretrain --config configs/coder/short_recordings.yaml ;;
  *) stage pretrain pretrain ;;
esac
stage finetune finetune --model.pretrained "$root/pretrain" --data.faults.seed "$seed"
[ "${3:-}" = paper ] || exit 0
stage paper finetune --config configs/block/paper.yaml --model.pretrained "$root/pretrain" \
  --data.faults.seed "$seed"
