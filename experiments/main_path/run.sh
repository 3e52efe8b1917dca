#!/bin/bash
# Both stages for one cell and seed, into runs/main_path/<cell>-<seed>; skips a stage that is tested.
# Usage: experiments/main_path/run.sh CELL SEED
set -euo pipefail
cell=$1 seed=$2
root=runs/main_path/$cell-$seed
lipfault=${LIPFAULT:-.venv/bin/lipfault}
common=(--config "configs/data/$cell.yaml" --seed_everything "$seed" --data.seed "$seed")
stage() { # name, then the arguments of fit
  local name=$1
  shift
  [ -f "$root/$name/metrics.json" ] && return
  rm -rf "${root:?}/$name"
  "$lipfault" fit --config "configs/$name.yaml" "${common[@]}" --run "$root/$name" "$@"
  "$lipfault" test --ckpt_path "$root/$name"
}
stage pretrain
stage finetune --model.pretrained "$root/pretrain" --data.faults.seed "$seed"
