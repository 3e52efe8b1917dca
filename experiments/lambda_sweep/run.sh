#!/bin/sh
# The λ sweep, offline, by several processes on one study; started again, it goes on.
#   experiments/lambda_sweep/run.sh quick|full [STAGE1] [PROCESSES]
# STAGE1: run folder of a finished stage 1; without it (or empty) one is trained.
set -e
size=${1:-quick} processes=${3:-2}
runs=runs/lambda_sweep/$size
LIPFAULT=${LIPFAULT:-.venv/bin/python -m lipfault}
case $size in
  quick) overlay='--config experiments/lambda_sweep/quick_trainer.yaml' ;;
  full) overlay='' ;;
  *) echo "run.sh quick|full [STAGE1] [PROCESSES], got $size" >&2; exit 2 ;;
esac
STAGE1=${2:-$runs/pretrain}
export STAGE1
if [ ! -e "$STAGE1/checkpoints/best.ckpt" ]; then
  resume=''
  if [ -e "$STAGE1" ]; then resume='--ckpt_path last'; fi
  $LIPFAULT fit --config configs/pretrain.yaml $overlay --run "$STAGE1" $resume
fi
started=''
while [ "$processes" -gt 0 ]; do
  $LIPFAULT sweep --file "experiments/lambda_sweep/$size.yaml" --study "$runs/study" &
  started="$started $!" processes=$((processes - 1))
done
for process in $started; do wait "$process"; done
${PYTHON:-.venv/bin/python} experiments/lambda_sweep/plot.py "$runs/study/results.json" \
  --out "experiments/lambda_sweep/$size"
