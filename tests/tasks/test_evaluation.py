"""What is measured where several modalities are faulty at once."""

from types import SimpleNamespace

import pytest
import torch

from lipfault.faults.labels import FaultLabels
from lipfault.tasks.evaluation import _of_faulty, measure_detection
from lipfault.tasks.inputs import worst_faulty

NAN = float('nan')


@pytest.fixture
def labels():
    """Clean; the second of three modalities; the first and, worse, the third; two of no damage."""
    modality = torch.tensor([[0, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1]]).bool()
    return FaultLabels(
        modality,
        kind=torch.tensor([[-1, -1, -1], [-1, 4, -1], [5, -1, 6], [-1, 7, 8]]),
        severity=torch.tensor([[0, 0, 0], [0, 2, 0], [1, 0, 3], [0, 1, 1]]),
        channels={},
        mask={},
        onset=torch.full((4, 3), NAN),
        damage=torch.tensor([[0, 0, 0], [0, 2.0, 0], [0.5, 0, 9.0], [0, 0, 0]]),
    )


def test_the_worst_of_several_faults_counts(labels):
    assert worst_faulty(labels).tolist() == [-1, 1, 2, 1]


def test_blame_of_any_faulty_modality_is_right(labels):
    blamed = torch.tensor([0, 0, 0, 2])
    found = SimpleNamespace(logits=torch.eye(3)[blamed], score=torch.zeros(4))
    measured = measure_detection(found, labels)
    right = measured['modality'] == measured['predicted_modality']
    assert right.tolist() == [False, False, True, True]
    assert measured['modality'].tolist() == [-1, 1, 0, 2]
    assert measured['kind'].tolist() == [-1, 4, 6, 7]
    assert measured['severity'].tolist() == [0, 2, 3, 1]
    assert measured['damage'].tolist() == [0, 2, 9, 0]


def test_errors_of_all_faulty_modalities_are_added(labels):
    truth = {name: torch.zeros(4, 1, 2) for name in 'abc'}
    estimate = {
        name: torch.full((4, 1, 2), float(k)) for name, k in zip('abc', (1, 2, 3), strict=True)
    }
    assert _of_faulty(estimate, truth, labels).tolist() == pytest.approx(
        [NAN, 4.0, 10.0, 13.0], nan_ok=True
    )
