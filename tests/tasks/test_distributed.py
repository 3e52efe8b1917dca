import pytest
import torch
from torch import distributed, multiprocessing

from lipfault.tasks.distributed import joined


def part(ids: list[int]) -> dict[str, torch.Tensor]:
    return {'sample_id': torch.tensor(ids), 'score': torch.tensor(ids) * 0.5}


def test_each_sample_counts_once_in_the_order_of_the_ids():
    values = joined([part([7, 3]), part([3, 1])])
    assert values['sample_id'].tolist() == [1, 3, 7]
    assert values['score'].tolist() == [0.5, 1.5, 3.5]


def _gather(rank: int, folder: str) -> None:
    distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    mine = [part([0, 2, 4])] if rank == 0 else [part([1]), part([3, 0])]
    torch.save(joined(mine), f'{folder}/{rank}.pt')
    distributed.destroy_process_group()


@pytest.mark.skipif(not distributed.is_available(), reason='torch without distributed')
def test_two_processes_see_all_samples(tmp_path):
    multiprocessing.spawn(_gather, args=(str(tmp_path),), nprocs=2)
    for rank in (0, 1):
        values = torch.load(tmp_path / f'{rank}.pt', weights_only=True)
        assert values['sample_id'].tolist() == [0, 1, 2, 3, 4]
        assert values['score'].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
