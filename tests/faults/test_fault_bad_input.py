"""Bad settings are named in one sentence; bad signals get a right answer."""

import jsonargparse
import pytest
import torch
from fault_cell import CELL, batch, series

from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES, catalogue, expand, load
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.event import FaultEvent
from lipfault.faults.schedule import FaultSchedule
from lipfault.modality import Modality


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'kinds': {'bais': 1.0}}, "unknown fault 'bais': did you mean 'bias'"),
        ({'kinds': {'gausian_noise': 1.0}}, "did you mean 'gaussian_noise'"),
        ({'kinds': {'qqq': 1.0}}, "unknown fault 'qqq': known are"),
        ({'kinds': {'bias': 0.0}}, 'kinds: the weights must not sum to zero'),
        ({'kinds': {}}, 'kinds: the weights must not sum to zero'),
        ({'kinds': {'bias': -1.0}}, r"kinds\['bias'\]: must be at least 0 .*, got -1.0"),
        ({'kinds': {'bias': float('nan')}}, r"kinds\['bias'\]: must be at least 0 .*, got nan"),
        ({'kinds': {'dropout_nan': 1.0}}, 'set missing: true'),
        ({'kinds': {'sensor_swap': 1.0}}, 'none of the kinds to draw fits'),
        ({'kinds': {'math.pi': 1.0}}, "'math.pi' must be a subclass of lipfault.faults.fault"),
        ({'kinds': {'no.such.Fault': 1.0}}, "'no.such.Fault' cannot be imported"),
        ({'held_out': ['drfit']}, "did you mean 'drift'"),
        ({'held_out': ['series', 'image']}, 'held_out leaves no kind to draw'),
        ({'kinds': {'bias': 1.0}, 'held_out': ['bias']}, 'held_out leaves no kind to draw'),
        ({'severities': {0: 1.0}}, 'severities must be 1 to 5, got 0'),
        ({'severities': {6: 1.0}}, 'severities must be 1 to 5, got 6'),
        ({'severities': {3: 0.0}}, 'severities: the weights must not sum to zero'),
        ({'clean_share': 1.5}, 'clean_share: must be at least 0 and at most 1, got 1.5'),
        ({'largest_share': 0.0}, 'largest_share: must be above 0 and at most 1, got 0.0'),
        ({'max_faulty': 0}, 'max_faulty: must be a whole number from 1 to 2147483647, got 0'),
        ({'modality_weights': {'fornt': 1.0}}, "unknown modality 'fornt', known are front, arm"),
        ({'modality_weights': {'arm': 0.0}}, 'modality_weights: the weights must not sum to zero'),
        ({'modality_weights': {'front': 1.0}, 'kinds': {'bias': 1.0}}, 'none of the kinds to draw'),
        ({'cabinets': {'left': ['arms']}}, "'left' holds an unknown modality 'arms'"),
        ({'patterns': {'flood': 1.0}}, "unknown pattern 'flood', known are common_cause"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(LipfaultError, match=message):
        FaultEngine(CELL, FaultConfig(**settings))


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        (
            'fog',
            r"'fog' fits none of .* force \(series, 1 channels\); it needs an image",
        ),
        ('channel_swap', 'it needs a series of 2 channels or more'),
        ('sensor_swap', 'it needs a pattern'),
    ],
)
def test_a_kind_that_no_modality_can_have_is_named(kind, message):
    with pytest.raises(LipfaultError, match=message):
        FaultEngine({'force': CELL['force']}, FaultConfig(kinds={'bias': 1.0, kind: 1.0}))
    FaultEngine({'force': CELL['force']}, FaultConfig(kinds={'bias': 1.0, 'swap': 1.0}))  # a group


class Bias(type(catalogue()['bias'])):
    """A user's fault with a name that is taken."""


class Own(type(catalogue()['bias'])):
    name = 'own'


class Twin(Own):
    """Another one of the same name."""


@pytest.mark.parametrize('taken', [['Bias'], ['Own', 'Twin']])
@pytest.mark.parametrize('where', ['kinds', 'held_out', 'schedule'])
def test_names_of_faults_must_differ(taken, where):
    paths = [f'{__name__}.{name}' for name in taken]
    uses = {
        'kinds': lambda: FaultEngine(CELL, FaultConfig(kinds=dict.fromkeys(paths, 1.0))),
        'held_out': lambda: FaultEngine(CELL, FaultConfig(held_out=paths)),
        'schedule': lambda: FaultSchedule(
            CELL, [FaultEvent('arm', path, 1, 2.0 * n, 2.0 * n + 1) for n, path in enumerate(paths)]
        ),
    }
    with pytest.raises(LipfaultError, match='there is another fault named'):
        uses[where]()


def test_what_is_held_out_has_the_same_names():
    paths = [f'{__name__}.{name}' for name in ('Own', 'Other')]
    engine = FaultEngine(CELL, FaultConfig(kinds={paths[0]: 1.0}, held_out=[paths[1]]))
    unseen = engine.only_held_out()
    assert engine.names == unseen.names == (*NAMES, 'other', 'own')
    for drawn, name in ((engine, 'own'), (unseen, 'other')):
        kinds = drawn.plan(torch.arange(50)).columns.kind.unique().tolist()
        assert kinds == [-1, drawn.names.index(name)]


class Other(Own):
    name = 'other'


class Loose(Own):
    name, group = 'loose', 'gears'


@pytest.mark.parametrize(
    ('name', 'held'),
    [('offset', {'own'}), ('series', {'own', 'loose'}), ('gears', {'loose'}), ('loose', {'loose'})],
)
def test_a_group_held_out_holds_out_a_users_own_fault(name, held):
    paths = [f'{__name__}.{each}' for each in ('Own', 'Loose')]
    kinds = dict.fromkeys([*paths, 'noise', 'image'], 1.0)
    engine = FaultEngine(CELL, FaultConfig(kinds=kinds, held_out=[name], clean_share=0.0))

    def drawn(engine):
        found = engine.plan(torch.arange(2000)).columns.kind.unique().tolist()
        return {engine.names[kind] for kind in found if kind >= 0}

    assert not drawn(engine) & held
    assert drawn(engine) >= {'own', 'loose'} - held
    assert drawn(engine.only_held_out()) >= held


def test_nothing_held_out_is_named():
    with pytest.raises(LipfaultError, match='nothing held out'):
        FaultEngine(CELL, FaultConfig()).only_held_out()


def test_patterns_need_company():
    with pytest.raises(LipfaultError, match='no pattern is possible with the modalities arm'):
        FaultEngine({'arm': CELL['arm']}, FaultConfig(pattern_share=0.5))


def test_settings_come_from_yaml():
    parser = jsonargparse.ArgumentParser()
    parser.add_argument('--faults', type=FaultConfig)
    text = (
        '{kinds: {drift: 2, bias: 1}, held_out: [fog], severities: {1: 1, 5: 0.5},'
        ' cabinets: {left: [arm, front]}, missing: true}'
    )
    config = parser.instantiate(parser.parse_args(['--faults', text])).faults
    assert config.severities == {1: 1.0, 5: 0.5}
    assert config.kinds == {'drift': 2.0, 'bias': 1.0}
    FaultEngine(CELL, config)


def test_names_expand():
    assert [fault.name for fault in expand('drift')] == [
        'drift_exponential',
        'drift_linear',
        'drift_logarithmic',
        'drift_walk',
    ]
    assert len(expand('series')) + len(expand('image')) + len(expand('cross')) == len(catalogue())
    assert load('lipfault.faults.series.offset.Bias').name == 'bias'


def everything(modality: Modality) -> FaultEngine:
    family = modality.kind
    return FaultEngine(
        {modality.name: modality},
        FaultConfig(kinds={family: 1.0, 'desynchronization': 0.05}, clean_share=0.0),
    )


def labelled_where_changed(labels, least=0.6):
    """A sample is faulty where something changed, which is nearly everywhere."""
    changed = labels.damage > 0
    assert torch.equal(labels.modality, changed)
    assert torch.equal(labels.kind >= 0, changed)
    assert torch.equal(labels.severity > 0, changed)
    assert torch.equal(labels.onset.isfinite(), changed)
    for column, (name, mask) in enumerate(labels.mask.items()):
        assert torch.equal(mask.flatten(1).any(1), changed[:, column])
        assert torch.equal(labels.channels[name].any(1), changed[:, column])
    assert least < labels.faulty.float().mean() < 1


@pytest.mark.parametrize('part', ['signals', 'history'])
@pytest.mark.parametrize('name', ['arm', 'front'])
def test_missing_values_in_the_data_stay_missing_and_do_not_spread(name, part):
    signals, history, ids = batch(torch.arange(300), {name: CELL[name]})
    given = signals if part == 'signals' else history
    given[name][:, ..., 3:5] = torch.nan
    observed, labels = everything(CELL[name])(signals, history, ids)
    assert torch.equal(observed[name].isnan(), signals[name].isnan())
    assert bool(labels.damage.isfinite().all())
    assert not bool((labels.mask[name].expand_as(signals[name]) & signals[name].isnan()).any())
    labelled_where_changed(labels)


def test_a_channel_that_is_all_missing_stays_so():
    signals, history, ids = batch(torch.arange(200), {'arm': CELL['arm']})
    signals['arm'][:, 2], history['arm'][:, 2] = torch.nan, torch.nan
    observed, labels = everything(CELL['arm'])(signals, history, ids)
    assert torch.equal(observed['arm'].isnan(), signals['arm'].isnan())
    assert bool(labels.damage.isfinite().all())


@pytest.mark.parametrize('value', [0.0, 1.0, 3.0])
def test_constant_channels(value):
    signals, history, ids = batch(torch.arange(200), {'arm': CELL['arm']})
    signals['arm'].fill_(value)
    history['arm'].fill_(value)
    engine = everything(CELL['arm'])
    observed, labels = engine(signals, history, ids)
    assert bool(observed['arm'].isfinite().all())
    idle = {'stuck', 'delay', 'jitter', 'low_pass', 'aliasing', 'dropout_hold', 'desynchronization'}
    drawn = engine.plan(ids).columns.kind[:, 0]
    still = torch.tensor([engine.names[kind] in idle | {'sign_flip'} for kind in drawn.tolist()])
    assert still.any()
    assert bool((labels.damage[still, 0] == 0).all())
    # A fault that changed nothing is none.
    assert not bool(labels.faulty[still].any())
    assert not bool(labels.mask['arm'][still].any())


@pytest.mark.parametrize('steps', [1, 2])
@pytest.mark.parametrize('earlier', [0, 1, 5])
def test_windows_of_one_step(steps, earlier):
    modality = {'arm': series('arm', 4)}
    signals, history, ids = batch(torch.arange(300), modality)
    signals = {'arm': signals['arm'][..., :steps]}
    history = {'arm': history['arm'][..., -earlier:] if earlier else history['arm'][..., :0]}
    observed, labels = everything(modality['arm'])(signals, history, ids)
    assert observed['arm'].shape == (300, 4, steps)
    assert bool(observed['arm'].isfinite().all())
    # Kinds that read the past change nothing in a single step without one.
    labelled_where_changed(labels, 0.45)


@pytest.mark.parametrize(
    ('size', 'channels'), [((1, 1), 1), ((1, 1), 3), ((1, 9), 1), ((9, 1), 4), ((5, 6), 30)]
)
def test_tiny_images(size, channels):
    names = tuple(f'c{place}' for place in range(channels))
    ones = (1.0,) * channels
    modality = Modality(
        'eye',
        'image',
        10.0,
        names,
        ('1',) * channels,
        (0.0,) * channels,
        ones,
        (0.01,) * channels,
        size,
    )
    image = torch.rand(300, channels, *size)
    past = torch.rand(300, 2, channels, *size)
    observed, labels = everything(modality)({'eye': image}, {'eye': past}, torch.arange(300))
    assert observed['eye'].shape == image.shape
    assert bool(((observed['eye'] >= 0) & (observed['eye'] <= 1)).all())
    labelled_where_changed(labels)


def test_values_beyond_the_range_are_kept_where_no_fault_is():
    signals, history, ids = batch(torch.arange(200), {'arm': CELL['arm']})
    signals['arm'] *= 5
    observed, labels = everything(CELL['arm'])(signals, history, ids)
    mask = labels.mask['arm']
    assert torch.equal(observed['arm'][~mask], signals['arm'][~mask])
    changed = observed['arm'] != signals['arm']
    assert bool(changed.any())
    assert observed['arm'][changed].abs().max() <= 3


def test_an_empty_batch():
    observed, labels = FaultEngine(CELL, FaultConfig())(*batch(torch.arange(0)))
    assert observed['arm'].shape == (0, 7, 50)
    assert labels.faulty.shape == (0,)


@pytest.mark.parametrize('dtype', [torch.int32, torch.int16, torch.uint8])
def test_ids_of_any_integer_type_are_the_same(dtype):
    signals, history, ids = batch(torch.arange(40))
    engine = FaultEngine(CELL, FaultConfig())
    whole, other = (engine(signals, history, each)[0] for each in (ids, ids.to(dtype)))
    assert all(torch.equal(whole[name], other[name]) for name in CELL)


BAD_BATCHES = {
    'float ids': ({'sample_id': torch.arange(4.0)}, r'sample_id must be \(batch,\) int64, got \(4'),
    'bool ids': (
        {'sample_id': torch.ones(4).bool()},
        r'sample_id must be .* \(4,\) torch.bool',
    ),
    'list of ids': ({'sample_id': [0, 1, 2, 3]}, 'sample_id must be a tensor, got list'),
    'ids in columns': ({'sample_id': torch.arange(4)[:, None]}, r'must be .* got \(4, 1\)'),
    'fewer ids': ({'sample_id': torch.arange(3)}, r"'arm' must have 3 dim.* begin with \(3, 7\)"),
    'list': ({'signals': {'arm': [0.0]}}, "'arm' must be a tensor, got list"),
    'integers': ({'signals': {'arm': torch.zeros(4, 7, 50).int()}}, 'floating point or uint8, got'),
    'flat history': ({'history': {'arm': torch.zeros(4, 7)}}, "history of 'arm' must be"),
    'other history': ({'history': {'leg': torch.zeros(4, 7, 9)}}, "unknown modality 'leg'"),
    'no history': ({'history': {'arm': None}}, "'history of arm' must be a tensor, got NoneType"),
}


@pytest.mark.parametrize('name', BAD_BATCHES)
def test_a_batch_that_does_not_fit_is_named(name):
    change, message = BAD_BATCHES[name]
    given = {'signals': {'arm': torch.zeros(4, 7, 50)}, 'history': None} | change
    given.setdefault('sample_id', torch.arange(4))
    with pytest.raises(LipfaultError, match=message):
        FaultEngine({'arm': CELL['arm']}, FaultConfig())(**given)


@pytest.mark.parametrize('share', [0.0, 1.0])
def test_eight_bits_cannot_hold_missing_pixels(share):
    """Whatever is drawn for the batch: the settings are at fault."""
    engine = FaultEngine(
        {'front': CELL['front']},
        FaultConfig(kinds={'missing_frame': 1.0}, missing=True, clean_share=share),
    )
    frames = torch.full((4, 3, 16, 12), 200, dtype=torch.uint8)
    message = r"'front' is torch.uint8, which cannot hold the NaN of 'missing_frame'; give float32"
    with pytest.raises(LipfaultError, match=message):
        engine({'front': frames}, None, torch.arange(4))
    observed, labels = engine({'front': frames / 255}, None, torch.arange(4))
    assert torch.equal(observed['front'].isnan().flatten(1).any(1), labels.faulty)


@pytest.mark.parametrize('value', [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize('name', ['arm', 'front'])
def test_a_signal_that_is_not_finite_leaves_the_others_alone(name, value):
    signals, history, ids = batch(torch.arange(60))
    engine = FaultEngine(CELL, FaultConfig(clean_share=0.0))
    whole, labels = engine(signals, history, ids)
    signals[name] = signals[name].clone()
    signals[name][7] = value
    observed, found = engine(signals, history, ids)
    others = torch.arange(60) != 7
    assert all(torch.equal(observed[each][others], whole[each][others]) for each in CELL)
    assert torch.equal(found.damage[others], labels.damage[others])
    assert bool(found.damage.isfinite().all())
