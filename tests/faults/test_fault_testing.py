"""Every built-in fault, and any user's, meets the requirements; a violation is named."""

from dataclasses import replace

import pytest
import torch

from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES, catalogue
from lipfault.faults.event import FaultEvent
from lipfault.faults.image.site import ImageFault
from lipfault.faults.schedule import FaultSchedule
from lipfault.faults.series.site import SeriesFault
from lipfault.faults.testing import SERIES, at_severity, check_fault, probes


@pytest.mark.parametrize('name', NAMES)
def test_fault_keeps_the_contract(name):
    check_fault(catalogue()[name])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('name', NAMES)
def test_fault_keeps_the_contract_on_a_gpu(name):
    check_fault(catalogue()[name], 'cuda')


@pytest.mark.parametrize('name', NAMES)
def test_fault_depends_on_its_keys_alone(name):
    fault = catalogue()[name]
    for site in probes(fault):
        site = at_severity(site, 4)
        value, mask = fault.apply(site.rows(0, 20))
        again, same = fault.apply(site.rows(0, 20))
        assert torch.equal(value.nan_to_num(9), again.nan_to_num(9))
        assert torch.equal(mask, same)


class Honest(SeriesFault):
    """Reads 20 noises too much, times the severity."""

    name = 'honest'
    group = 'own'
    formula = "x' = x + a σ"
    cause = 'made for this test'
    levels = (20, 40, 60, 80, 100)
    level_text = 'a'

    def apply(self, site):
        return site.signal + site.amplitude(self.levels), site.mask


class Spreading(Honest):
    def apply(self, site):
        return super().apply(site)[0], torch.ones_like(site.mask)


class Mixing(Honest):
    def apply(self, site):
        return super().apply(site)[0] + 1e-3 * site.signal.mean(0, keepdim=True), site.mask


class Falling(Honest):
    levels = (100, 80, 60, 40, 20)


class Losing(Honest):
    def apply(self, site):
        return torch.full_like(site.signal, torch.nan), site.mask


class Short(Honest):
    levels = (0.1, 0.2)


class Narrow(Honest):
    def apply(self, site):
        return super().apply(site)[0], site.mask[:, :1]


class Double(Honest):
    def apply(self, site):
        return super().apply(site)[0].double(), site.mask


class Lost(ImageFault):
    name, group, formula, cause = 'lost', 'own', "x' = x", 'does nothing'
    levels, level_text = (1, 2, 3, 4, 5), ''

    def apply(self, site):
        return site.signal, site.everywhere


class Backwards(Lost):
    """Honest on the frame of the window, wrong on the one before."""

    name = 'backwards'

    def apply(self, site):
        dimmed = site.signal * (1 - 0.1 * site.level(self.levels))
        return dimmed + site.ago * site.signal.mean(0), site.everywhere


class Placed(Honest):
    """Depends on the place in the window instead of the instant."""

    def apply(self, site):
        return super().apply(site)[0] + 1e-3 * site.time, site.mask


class Foreseeing(Honest):
    """Reads the next sample."""

    needs_history = True

    def apply(self, site):
        return super().apply(site)[0] + site.at(site.time[:, None] + 1) - site.signal, site.mask


class Smoothed(Honest):
    """Subtracts the mean of the window, later readings included."""

    def apply(self, site):
        return super().apply(site)[0] - 1e-3 * site.signal.mean(-1, keepdim=True), site.mask


class Looking(Honest):
    """Reads the sample before the window without saying so."""

    def apply(self, site):
        back = site.at(site.time[:, None] - 1) - site.signal
        return super().apply(site)[0] + back, site.mask


class Reaching(Looking):
    """Reads the sample before the onset without saying so."""

    needs_history = True


class Stated(Reaching):
    """Reads the sample before the onset, and says so."""

    def reach(self, severity, rate_hz):
        return 1


class Prescient(Smoothed):
    causal = False


class Flickering(ImageFault):
    """Reads two frames back and asks for one."""

    name, group, formula, cause = 'flickering', 'own', "x' = y", 'made for this test'
    levels, level_text = (0.1, 0.2, 0.4, 0.7, 1.0), 'share'
    needs_history = True

    def reach(self, severity, rate_hz):
        return 1

    def apply(self, site):
        back = site.past.back(torch.full_like(site.severity, 2)) if len(site.past) else site.signal
        return site.signal + site.level(self.levels) * (back - site.signal), site.everywhere


class Homeless(Honest):
    family = 'smell'


@pytest.mark.parametrize('fault', [Honest, Stated])
def test_an_honest_fault_of_a_users_own_passes(fault):
    check_fault(fault())


def test_a_fault_that_is_not_causal_cannot_be_scheduled():
    event = FaultEvent('probe_series', 'honest', 3, 1.0)
    with pytest.raises(LipfaultError, match='depends on later readings'):
        FaultSchedule({'probe_series': SERIES}, [event], own={'honest': Prescient()})


@pytest.mark.parametrize(
    ('fault', 'complaint'),
    [
        (Spreading, 'must stay within site.mask'),
        (Mixing, 'differs between a batch of 1 and'),
        (Falling, 'damage must grow'),
        (Losing, 'missing is False, but there are'),
        (Short, 'levels must have 5 entries'),
        (Narrow, 'mask must be bool'),
        (Double, 'must be float32'),
        (Lost, 'damage must grow'),
        (Backwards, 'the frame before is not what a window shows'),
        (Homeless, 'family must be'),
        (Placed, 'depends on where the window begins'),
        (Foreseeing, 'changes with later clean values'),
        (Smoothed, 'changes with later clean values'),
        (Prescient, 'depends on where the window begins'),
        (Looking, 'reads samples from before the window, but needs_history is False'),
        (Reaching, r'reads more than reach\(\) = 0 samples before its onset at severity 1'),
        (Flickering, r'reads more than reach\(\) = 1 frames back at severity 1'),
    ],
)
def test_broken_faults_are_named(fault, complaint):
    with pytest.raises(LipfaultError, match=complaint) as error:
        check_fault(fault())
    assert fault.name in str(error.value)


@pytest.mark.parametrize('name', NAMES)
def test_fault_of_one_step_or_pixel_runs(name):
    fault = catalogue()[name]
    for site in probes(fault):
        small = replace(site, signal=site.signal[..., :1], other=site.other[..., :1])
        if site.signal.ndim == 4:
            past = replace(site.past, batch=site.past.batch[:, :0, :, :1, :1])
            small = replace(
                small, signal=small.signal[:, :, :1], other=small.other[:, :, :1], past=past
            )
        else:
            small = replace(small, past=site.past[..., :0])
        for severity in (1, 5):
            value, mask = fault.apply(at_severity(small, severity))
            assert value.shape == small.signal.shape
            assert fault.missing or bool(value.isfinite().all())
            assert mask.shape[-1] == 1
