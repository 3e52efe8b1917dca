"""Figure of losses, errors, norms and gains over a training."""

import pytest

from experiments.training_dynamics.experiment import draw
from lipfault.report.run import load_run

METRICS = """\
epoch,step,train/loss_rec,norm/corrector,norm/detector,gain/detector/fault,\
val/corrector/energy_left,val/clean/degradation
0,10,0.5,3.0,4.0,1.5,,
0,20,,,,,0.25,0.5
1,30,0.25,3.5,4.5,2.5,,
1,40,,,,,0.125,0.25
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / 'metrics.csv').write_text(METRICS)
    (tmp_path / 'metrics.json').write_text('{}')
    return load_run(tmp_path)


def test_a_block_has_its_row_of_panels(run):
    losses, errors, norms, gains = draw({'ours': run}).axes
    assert losses.get_title('left') == 'ours: terms of the loss'
    drawn = {line.get_label(): line.get_ydata().tolist() for line in errors.lines}
    assert drawn == {'energy of the fault left': [0.25, 0.125], 'harm to clean input': [0.5, 0.25]}
    assert [line.get_label() for line in gains.lines] == ['detector/fault']
    assert {0.03, 2.0} <= {line.get_ydata()[0] for line in norms.lines}


def test_a_panel_without_logged_metrics_is_empty(run):
    del run.history['train/loss_rec']
    losses = draw({'ours': run}).axes[0]
    assert not losses.lines
    assert losses.get_legend() is None
