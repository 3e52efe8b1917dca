"""`certify` is a test with one more callback, and says how long it takes."""

import json

import pytest

from lipfault.callbacks.certificate import CertificateWriter
from lipfault.callbacks.remaining_time import RemainingTime, spoken
from lipfault.cli.certify import certifying


def test_quick_takes_fewer_faults_and_a_weaker_adversary():
    *words, option = certifying(['certify', '--ckpt_path', 'x'])
    assert words == ['test', '--ckpt_path', 'x']
    name, _, value = option.partition('=')
    assert name == '--trainer.callbacks+'
    writer = json.loads(value)
    assert writer['class_path'].endswith(f'.{CertificateWriter.__name__}')
    whole = CertificateWriter(**writer['init_args'])
    *words, option = certifying(['certify', '--quick', '--ckpt_path', 'x'])
    assert words == ['test', '--ckpt_path', 'x']
    quick = CertificateWriter(**json.loads(option.partition('=')[2])['init_args'])
    for name in ('samples', 'attacked', 'steps'):
        assert 0 < getattr(quick, name) < getattr(whole, name)


def test_the_time_is_that_of_all_passes(monkeypatch):
    clock = iter([10.0, 10.5])
    monkeypatch.setattr('time.monotonic', lambda: next(clock))
    rest = RemainingTime(rows=2, samples=8, attacked=1, steps=3)
    # Of each of 2 modalities: 2 x 8 passes for the gains, 4 x 8 for the changes of each of 2
    # outputs, and for each output an attack of 3 steps of 3 passes, with 2 passes before.
    assert rest.passes == 16 + 2 * 32 + 2 * 11
    assert rest.from_pass(lambda: None, windows=2) == pytest.approx(0.25 * 102 * 2)
    assert rest.after(1, 30.0) == 30.0
    assert [spoken(59.6), spoken(119.4), spoken(180.0)] == ['60 s', '119 s', '3 min']
