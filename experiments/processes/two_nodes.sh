#!/bin/bash
# Train and test both stages under torchrun with two agents, as on two nodes, here on one machine: some
# steps with small networks. Then compare the weights of stage 2 with those of two processes started by
# lipfault. Usage: experiments/processes/two_nodes.sh [FOLDER]
set -euo pipefail
out=${1:-runs/two_nodes}
python=${PYTHON:-.venv/bin/python}
export OMP_NUM_THREADS=1
rm -rf "$out"
mkdir -p "$out"

agents() { # log, then the arguments of lipfault
  local log=$1 pids=() node
  shift
  for node in 0 1; do
    "$python" -m torch.distributed.run --nnodes 2 --node_rank "$node" --nproc_per_node 1 \
      --master_addr 127.0.0.1 --master_port "${PORT:-29511}" -m -- lipfault "$@" \
      --trainer.num_nodes 2 --trainer.devices 1 --trainer.strategy ddp \
      >"$out/$log-$node.log" 2>&1 &
    pids+=($!)
  done
  for node in 0 1; do wait "${pids[$node]}" || { tail -n 3 "$out/$log-$node.log"; return 1; }; done
}

short=(--trainer.limit_train_batches 10 --trainer.limit_val_batches 2 --data.batch_size 8)
configs() { echo --config "configs/$1.yaml" --config "experiments/small/$1.yaml"; }

agents pretrain fit $(configs pretrain) "${short[@]}" --run "$out/pretrain"
agents finetune fit $(configs finetune) "${short[@]}" --run "$out/finetune" \
  --model.pretrained "$out/pretrain"
agents test test --ckpt_path "$out/finetune" --trainer.limit_test_batches 4
"$python" -m lipfault fit $(configs finetune) "${short[@]}" --run "$out/started" \
  --model.pretrained "$out/pretrain" --trainer.devices 2 --trainer.strategy ddp \
  >"$out/started.log" 2>&1

"$python" - "$out" <<'END'
import sys
from pathlib import Path

import torch

from lipfault.runs.checkpoints import read_checkpoint

out = Path(sys.argv[1])
one, two = (read_checkpoint(out / run / 'checkpoints/last.ckpt') for run in ('finetune', 'started'))
same = all(torch.equal(value, two['state_dict'][name]) for name, value in one['state_dict'].items())
print(f"{one['global_step']} steps of stage 2 under two agents and under two processes started by "
      f"lipfault: weights {'equal bit for bit' if same else 'differ'}")
logs = {log: (out / f'{log}.log').read_text() for log in ('finetune-0', 'finetune-1')}
print('reports written by agent 0 and 1:', *(log.count('report.html') for log in logs.values()))
sys.exit(not same)
END
