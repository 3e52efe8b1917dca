"""Files made to mislead a reader give one line, in bounded time and memory."""

import json
import os

import h5py
import numpy as np
import pytest

from lipfault.data.checking import problems
from lipfault.data.recording import Recording
from lipfault.errors import LipfaultError

EPISODE = 'episodes/swing-01'
FORCE = f'{EPISODE}/force'


@pytest.fixture
def copy(tmp_path, tiny_recording):
    path = tmp_path / 'copy.h5'
    path.write_bytes(tiny_recording.read_bytes())
    return path


def _put(name, value):
    def craft(file):
        if name in file:
            del file[name]
        file[name] = value

    return craft


def _array(shape, **options):
    def craft(file):
        del file[FORCE]
        file.create_dataset(FORCE, shape=shape, dtype='f4', **options)

    return craft


def _virtual(file):
    del file[FORCE]
    layout = h5py.VirtualLayout(shape=(300, 2), dtype='f4')
    layout[:] = h5py.VirtualSource('nowhere.h5', 'x', shape=(300, 2))
    file.create_virtual_dataset(FORCE, layout)


def _raw(file):
    del file[FORCE]
    storage = [('/etc/passwd', 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(FORCE, shape=(300, 2), dtype='f4', external=storage)


def _null(file):
    del file[FORCE]
    file.create_dataset(FORCE, data=h5py.Empty('f4'))


def _not_utf8(file):
    h5py.h5g.create(file['episodes'].id, b'caf\xe9')


def _parameters(text):
    def craft(file):
        file[EPISODE].attrs['parameters'] = text

    return craft


def _attribute(key, value, place='modalities/force'):
    def craft(file):
        file[place].attrs[key] = value

    return craft


def _group_as_mask(file):
    file.create_group(f'{FORCE}_present')


def _type(name):
    def craft(file):
        if name in file:
            del file[name]
        file[name] = np.dtype('f4')

    return craft


def _long(file):
    """Claim 10^9 samples in every modality of one episode."""
    for name, shape in (
        ('camera', (10**8, 16, 16, 3)), ('force', (10**9, 2)), ('joints', (5 * 10**8, 4)),
    ):  # fmt: skip
        dtype = file[f'{EPISODE}/{name}'].dtype
        del file[f'{EPISODE}/{name}']
        file.create_dataset(f'{EPISODE}/{name}', shape, dtype, chunks=True, compression='gzip')


HUGE = '9' * 5000
OUTSIDE = 'refers to other files; copy its samples into the file'
CRAFTED = {
    'group as mask': (_group_as_mask, "'swing-01': force_present is no array"),
    'group as array': (_put('modalities/force', 3), "/modalities/'force' is no group"),
    'null space': (_null, "'force' is empty: its data space is null"),
    'id not UTF-8': (_not_utf8, 'id of an episode must be printable UTF-8 text, got b.caf.*xe9'),
    'id of escapes': (_put('episodes/\x1b[2J', 1), r"UTF-8 text, got '\\x1b\[2J'"),
    'dangling': (_put('episodes/x', h5py.SoftLink('/nowhere')), "'x': is a link; copy its content"),
    'ring': (_put('episodes/x', h5py.SoftLink('/episodes/x')), "'x': is a link; copy its content"),
    'soft link': (_put(FORCE, h5py.SoftLink('/episodes/swing-00/force')), "'force' is a link"),
    'other file': (_put(EPISODE, h5py.ExternalLink('b.h5', '/')), "'swing-01': is a link"),
    'other mask': (_put(f'{FORCE}_present', h5py.ExternalLink('b', '/x')), '_present is a link'),
    'linked group': (_put('modalities', h5py.ExternalLink('b.h5', '/')), '/modalities is a link'),
    'linked': (_put('modalities/force', h5py.SoftLink('/x')), "/modalities/'force' is a link"),
    'virtual': (_virtual, f"'force' {OUTSIDE}"),
    'raw storage': (_raw, f"'force' {OUTSIDE}"),
    'type as array': (_type(FORCE), "modality 'force' is no array"),
    'type as episode': (_type('episodes/x'), "episode 'x': is no group"),
    'huge integer': (_parameters(f'{{"a": {HUGE}}}'), "'swing-01': .* not JSON: Exceeds the limit"),
    'large integer': (_parameters('{"a": 1%s}' % ('0' * 400)), "'a' must be .* a huge integer"),
    'deep': (_parameters('{"a":' + '[' * 99999), "'swing-01': attribute .parameters. is not JSON"),
    'nested': (_parameters('{"a": {"b": 1}}'), "parameter 'a' must be a finite number or text"),
    'no number': (_parameters('{"a": NaN}'), "'a' must be a finite number or text, got nan"),
    'no text': (_parameters(h5py.Empty('f4')), "'swing-01': attribute .parameters. is not JSON"),
    'rate': (_attribute('rate_hz', np.inf), "'force': rate_hz must be finite, got inf"),
    'noise': (_attribute('noise', [np.inf, 1]), "'force': noise must be finite"),
    'range': (_attribute('high', [np.inf, 1]), "'force': high must be finite"),
    'channel': (_attribute('channels', ['a\n', 'b']), r"a channel must be printable .* got 'a\\n'"),
    'unit': (_attribute('units', ['N', '\x07']), r"a unit must be printable UTF-8 text, got"),
    'no size': (_attribute('size', [0, 0], 'modalities/camera'), "'camera': size must be positive"),
    'infinite size': (_attribute('size', [np.inf, 1], 'modalities/camera'), 'camera has .*wrong'),
    'chain': (_attribute('chain', '[' * 99999), 'force has an attribute of the wrong type'),
    'groups': (_attribute('groups', '{"a": 3}'), 'force has an attribute of the wrong type'),
    'one large chunk': (
        _array((300, 2), maxshape=(None, 2), chunks=(10**8, 2)), r'claims 0\.8 GB of samples'
    ),
    'a long episode': (_long, r'claims 92\.8 GB of samples in a file of 0\.16'),
}  # fmt: skip


@pytest.mark.parametrize('name', CRAFTED)
def test_a_crafted_description_is_refused(copy, name):
    craft, message = CRAFTED[name]
    with h5py.File(copy, 'r+') as file:
        craft(file)
    with pytest.raises(LipfaultError, match=message) as caught:
        Recording(copy)
    assert str(copy) in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize('options', [{'chunks': (50, 2)}, {}])
def test_samples_that_were_never_stored_are_no_zeros(copy, options):
    with h5py.File(copy, 'r+') as file:
        _array((300, 2), **options)(file)
        if options:
            file[FORCE][:100] = 1.0
    with pytest.raises(LipfaultError, match=r"'force': cannot be read.*[14] chunks of samples are"):
        Recording(copy).read(1, 'force', 0, 50)


def test_checksums_of_another_length_are_refused(copy):
    with h5py.File(copy, 'r+') as file:
        file[FORCE].attrs['crc32'] = np.zeros(2, np.uint32)
    with pytest.raises(LipfaultError, match=r"attribute 'crc32' must be \(3,\) uint32, got \(2,\)"):
        Recording(copy).read(1, 'force', 0, 50)


def test_chunks_that_changed_places_are_noticed(copy):
    """Each chunk still has the Fletcher-32 of HDF5 that fits it."""
    with h5py.File(copy, 'r+') as file:
        first, second = (file[FORCE].id.read_direct_chunk((n, 0)) for n in (0, 128))
        file[FORCE].id.write_direct_chunk((0, 0), second[1], second[0])
        file[FORCE].id.write_direct_chunk((128, 0), first[1], first[0])
        assert np.isfinite(file[FORCE][:]).all()
    recording = Recording(copy)
    with pytest.raises(LipfaultError, match=r"'force': .*: samples 128 to 255 differ from their"):
        recording.read(1, 'force', 200, 220)
    assert len(recording.read(1, 'force', 256, 300)) == 44
    assert len(list(problems(recording))) == 1


def test_every_program_verifies_the_stored_bytes(tiny_recording):
    with h5py.File(tiny_recording) as file:
        arrays = [array for episode in file['episodes'].values() for array in episode.values()]
        assert len(arrays) == 18
        assert all(array.fletcher32 for array in arrays)


def test_text_of_fixed_length_and_free_attributes_are_read(copy):
    with h5py.File(copy, 'r+') as file:
        file[EPISODE].attrs['parameters'] = np.bytes_(json.dumps({'load_kg': 1.5, 'piece': 'é'}))
        file.attrs['empty'] = h5py.Empty('f4')
        file.attrs['latin'] = np.bytes_('é'.encode('latin-1'))
    recording = Recording(copy)
    assert recording.episodes[1].parameters == {'load_kg': 1.5, 'piece': 'é'}
    assert recording.attributes['latin'] == '\ufffd'
    os.fsencode(str(recording.attributes))
