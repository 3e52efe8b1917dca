"""Modulated layers on two ranks."""

import os

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from lipfault.lipschitz.modulation.modulation import modulate


def work(rank: int, folder: str) -> None:
    os.environ |= {'MASTER_ADDR': '127.0.0.1', 'GLOO_SOCKET_IFNAME': 'lo'}
    torch.set_num_threads(1)
    store = dist.FileStore(f'{folder}/store', 2)
    dist.init_process_group('gloo', store=store, rank=rank, world_size=2)
    torch.manual_seed(rank)
    net = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.Flatten(), nn.Linear(32, 3))
    modulate(net, {'0': {'mode': 'pin', 'target': 1.0}, '2': {'mode': 'cap', 'target': 0.5}})
    parallel = DistributedDataParallel(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(4):
        optimizer.zero_grad()
        x = torch.randn(5, 2, 8)
        (parallel(x) - parallel(x + 1)).square().mean().backward()
        optimizer.step()
    torch.save(net.state_dict(), f'{folder}/{rank}.ckpt')
    dist.destroy_process_group()


@pytest.mark.ddp
@pytest.mark.slow
def test_two_ranks_hold_identical_buffers(tmp_path):
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f'{r}.ckpt', weights_only=True) for r in (0, 1))
    assert first['0.parametrizations.weight.0.right'].numel() == 16
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
