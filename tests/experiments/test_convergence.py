"""Recall by epoch, damage and kind of fault."""

from experiments.detector_convergence.experiment import by_epoch, draw, in_order
from experiments.runner import run as run_module
from experiments.runner.run import Run

METRICS = """\
epoch,step,val/detection/recall,val/detection/false_alarm_rate,\
val/detection/recall_damage_4_8,val/detection/recall_damage_16_64,val/detection/recall_damage_2_4,\
val/detection/recall_kind_fog,val/detection/recall_kind_bias,train/loss
0,10,,,,,,,,3.5
0,20,0.25,0.125,0.5,0.75,0.125,0,0.5,
1,40,0.5,0.0625,0.625,1,0.25,0.25,0.75,
"""


def test_curves_are_in_order_of_damage_and_kind(monkeypatch, tmp_path):
    monkeypatch.setattr(run_module, 'ROOT', tmp_path)
    run = Run('quick/a-0/watched', ())
    run.folder.mkdir(parents=True)
    (run.folder / 'metrics.csv').write_text(METRICS)
    (run.folder / 'metrics.json').write_text('{}')
    curves = by_epoch(run)
    assert curves == {
        'clean': [0.875, 0.9375],
        'faulty': [0.25, 0.5],
        'damage 2 to 4': [0.125, 0.25],
        'damage 4 to 8': [0.5, 0.625],
        'damage 16 to 64': [0.75, 1.0],
        'kind bias': [0.5, 0.75],
        'kind fog': [0.0, 0.25],
    }
    assert in_order(curves)[2:5] == ['damage 2 to 4', 'damage 4 to 8', 'damage 16 to 64']
    assert in_order(curves)[5:] == ['kind bias', 'kind fog']


def test_kinds_detected_earliest_are_on_top():
    curves = {'clean': [1.0], 'faulty': [0.5], 'kind bias': [0.25], 'kind fog': [0.75]}
    above, below = draw({'ours': curves}).axes
    assert [label.get_text() for label in below.get_yticklabels()] == ['fog', 'bias']
    assert above.get_title('left') == 'ours'


def test_runs_without_recall_by_kind_have_one_panel():
    assert len(draw({'ours': {'clean': [1.0], 'faulty': [0.5]}}).axes) == 1


def test_a_block_without_recall_by_kind_beside_one_with_it():
    known = {'clean': [1.0], 'faulty': [0.5], 'kind bias': [0.25]}
    figure = draw({'ours': known, 'paper': {'clean': [1.0], 'faulty': [0.5]}})
    assert [axes.axison for axes in figure.axes] == [True, True, True, False]


def test_larger_damage_is_darker_in_whatever_order_it_comes():
    damages = {'damage 16 to 64': [0.75], 'damage 2 to 4': [0.25], 'damage 4 to 8': [0.5]}
    (axes,) = draw({'ours': {'clean': [1.0], 'faulty': [0.5]} | damages}).axes
    lightness = {line.get_label(): sum(line.get_color()[:3]) for line in axes.lines[2:]}
    assert list(lightness) == ['damage 2 to 4', 'damage 4 to 8', 'damage 16 to 64']
    assert sorted(lightness.values(), reverse=True) == list(lightness.values())
