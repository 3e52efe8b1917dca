"""The metrics of an evaluation are one table."""

from lipfault.cli.figures import metrics_text

METRICS = {
    'detection/auroc': 0.89691,
    'detection_unseen/auroc': 0.92328,
    'detection/recall_kind_bias': 1.0,
    'detection/recall_damage_16_64': 0.3,
    'detection/recall_damage_2_4': 0.2,
    'recovery/oracle': 0.5,
    'recovery/seen': 0.4,
    'recovery/unseen': 0.3,
    'recovery/oracle_unseen': float('nan'),
    'norm/corrector/trunk.0': 12.345678,
    'norm/corrector': 3.0,
    'loss_unseen': 0.1,
}


def test_each_metric_stands_once_in_its_group():
    lines = metrics_text('Test metrics', METRICS).splitlines()
    assert [line.split() for line in lines] == [
        ['Test', 'metrics'],
        ['detection', 'seen', 'unseen'],
        ['auroc', '0.8969', '0.9233'],
        ['recall_damage_2_4', '0.2'],
        ['recall_damage_16_64', '0.3'],
        ['recall_kind_bias', '1'],
        ['metrics'],
        ['loss_unseen', '0.1'],
        ['norm'],
        ['corrector', '3'],
        ['corrector/trunk.0', '12.35'],
        ['recovery', 'seen', 'unseen'],
        ['oracle', '0.5', 'nan'],
        ['recovery', '0.4', '0.3'],
    ]
    assert max(map(len, lines)) <= 80


def test_no_metrics_is_a_title():
    assert metrics_text('Test metrics', {}) == 'Test metrics'
