import unicodedata

import numpy as np
import pytest

from jaxuda import errors
from jaxuda.data.classes import class_tables
from jaxuda.data.classes import labels


def write(folder, text, name='own.yaml'):
  path = folder / name
  path.write_text(text)
  return str(path)


def test_names_alone(tmp_path):
  path = write(tmp_path, 'classes: [shelf, floor, cup]')
  found = labels.get_class_set(path)
  assert found.names == ('shelf', 'floor', 'cup')
  assert dict(found.subsets) == {'mIoU3': (0, 1, 2)}
  # PASCAL VOC's.
  assert found.colors.dtype == np.uint8
  assert found.colors.tolist() == [[128, 0, 0], [0, 128, 0], [128, 128, 0]]


def test_where_colours_come_from(tmp_path):
  path = write(
    tmp_path,
    'classes: {a: "#800000", b: ["#010203", "#040506"], c: [], d: "#070809"}\n'
    'colors: {d: "#ffFF00"}',
  )
  table = class_tables.read_file(path)
  # The first generated colour is that of a.
  assert table.colors.tolist() == [
    [128, 0, 0],
    [1, 2, 3],
    [0, 128, 0],
    [255, 255, 0],
  ]
  assert table.codes[4, 5, 6] == 'b'
  assert not table.rest
  ids = 'classes: {a: 1, b: 2}\ncolors: ["#000001", "#000002"]\nignore: rest'
  table = class_tables.parse(ids, where='x.yml')
  assert table.colors.tolist() == [[0, 0, 1], [0, 0, 2]]
  assert table.rest
  assert table.codes == {1: 'a', 2: 'b'}


def test_generated_colours_are_distinct(tmp_path):
  names = [f'c{i}' for i in range(254)]
  path = write(tmp_path, f'{{"classes": {names}}}'.replace("'", '"'), 'a.json')
  colors = labels.get_class_set(path).colors
  assert len({tuple(x) for x in colors}) == 254
  assert colors.any(axis=1).all()


def test_read_again_when_it_changes(tmp_path):
  path = write(tmp_path, 'classes: [a, b]')
  first = labels.get_class_set(path)
  assert labels.get_class_set(path) is first
  write(tmp_path, 'classes: [a, b, c]')
  assert labels.get_class_set(path).names == ('a', 'b', 'c')


def test_identity_is_of_the_names(tmp_path):
  first = write(tmp_path, 'classes: {a: 1, b: 2}')
  second = write(tmp_path, '{"classes": ["a", "b"]}', 'other.json')
  third = write(tmp_path, 'classes: [b, a]', 'third.yml')
  assert labels.identify(first) == labels.identify(second)
  assert labels.identify(first).startswith('own2-')
  assert labels.identify(first) != labels.identify(third)
  assert labels.identify('coarse7') == 'coarse7'


def test_to_json_and_back(tmp_path):
  found = labels.get_class_set(write(tmp_path, 'classes: [b, "ü x"]'))
  tree = class_tables.to_json(found.names, found.colors)
  assert tree == {'classes': ['b', 'ü x'], 'colors': ['#800000', '#008000']}
  back = labels.read_own({'classes': tree})
  assert back.names == found.names
  np.testing.assert_array_equal(back.colors, found.colors)
  assert labels.read_own({}) is None


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'has no classes; expected classes: {road'),
    ('classes: []', 'has no classes'),
    ('classes: road', 'has no classes'),
    ('classes: [a, b, a]', "class 'a' appears twice"),
    ('classes: {a: 1, a: 2}', "cannot be read ('a' appears twice)"),
    ('classes: [a, 3]', '3 is not a class name; expected text'),
    ('classes: {0: 3}', '0 is not a class name'),
    ('classes: {a: 1_0}', "a has '1_0'; expected an id 0..255"),
    ('classes: {a: 0x10}', "a has '0x10'; expected an id 0..255"),
    ('classes: {a: 1:30}', "a has '1:30'; expected an id 0..255"),
    ('classes: {a: 1.0}', 'a has 1.0; expected an id 0..255'),
    ('classes: [[a]]', "['a'] is not a class name"),
    (f'classes: {[f"c{i}" for i in range(255)]}', 'has 255 classes; expected'),
    ('classes: [a]\nnames: [a]', "unknown entry 'names'"),
    ('classes: [a]\ncolors: red', "colors is 'red'"),
    ('classes: [a]\ncolors: ["#000001", "#000002"]', 'colors has 2 entries'),
    ('classes: [a]\ncolors: {b: "#000001"}', "colors has 'b', which is not"),
    ('classes: [a]\ncolors: {a: red}', "colors has 'red' for a"),
    ('classes: [a]\ncolors: {a: #000001}', 'cannot be read'),
    ('classes:\n  a: #000001', 'a has nothing; expected an id 0..255'),
    ('classes: {a: -1}', 'a has -1; expected an id 0..255'),
    ('classes: {a: true}', "a has 'true'; expected an id 0..255"),
    ('classes: {a: 1, b: 1}', '1 is listed twice'),
    ('classes: ["a\\nb"]', 'has a character that cannot be printed'),
    ('classes: ["a\\x85"]', 'has a character that cannot be printed'),
    ('classes: {a: 1}\nignore: [1]', '1 is listed twice'),
    ('classes: !!timestamp a', 'cannot be read'),
    ('classes: !!bool a', 'cannot be read'),
    ('classes: ' + '[' * 5000, 'cannot be read'),
    ('classes: {"\\u00fc": 1, "u\\u0308": 2}', "'ü' appears twice"),
  ],
)
def test_mistakes_are_named(tmp_path, text, message):
  path = write(tmp_path, text)
  with pytest.raises(errors.UserError) as caught:
    labels.get_class_set(path)
  assert message in str(caught.value)
  assert str(caught.value).startswith(path)


def test_names_alone_may_have_empty_lists(tmp_path):
  path = write(tmp_path, 'classes: {wall: [], door: []}')
  assert labels.get_class_set(path).names == ('wall', 'door')


def test_half_of_a_surrogate(tmp_path):
  path = write(tmp_path, r'{"classes": {"\ud800": 1}}', 'own.json')
  with pytest.raises(errors.UserError, match='that cannot be printed'):
    labels.get_class_set(path)


def test_mistakes_in_json(tmp_path):
  path = write(tmp_path, '{"classes": {"a": 1, "a": 2}}', 'own.json')
  with pytest.raises(errors.UserError, match="'a' appears twice"):
    labels.get_class_set(path)


def test_missing_file(tmp_path):
  path = str(tmp_path / 'none.yaml')
  with pytest.raises(
    errors.UserError, match=r'none\.yaml cannot be read .no s'
  ):
    labels.get_class_set(path)
  (tmp_path / 'bytes.yaml').write_bytes(b'classes: [\xff]')
  with pytest.raises(errors.UserError, match=r'bytes\.yaml cannot be read'):
    labels.get_class_set(str(tmp_path / 'bytes.yaml'))
  with pytest.raises(errors.UserError, match='or a class table of your own'):
    labels.get_class_set('own')


def names_to_own(names):
  return labels.create_own(names, np.zeros((len(names), 3), np.uint8))


def test_ids_of_ones_own_are_mapped_by_name(tmp_path):
  path = write(tmp_path, 'classes: [shelf, floor, cup]')
  own = names_to_own(['cup', 'lamp', 'shelf'])
  table = labels.label_map('folder', path, own=own)
  assert table[:5].tolist() == [255, 2, 255, 0, 255]
  assert (table[5:] == 255).all()
  # Built-in sets too: camvid11's tree has Cityscapes' vegetation.
  own = names_to_own(['tree', 'vegetation', 'cow', 'bicycle'])
  table = labels.label_map('folder', 'camvid11', own=own)
  assert table[1:5].tolist() == [5, 5, 255, 10]
  with pytest.raises(errors.UserError, match=r'cow, pig, and none of them is'):
    labels.label_map('folder', path, own=names_to_own(['cow', 'pig']))


def test_known_datasets_are_mapped_by_name(tmp_path):
  path = write(tmp_path, 'classes: [trailer, sky, road, tree, cow]')
  table = labels.label_map('cityscapes', path)
  assert {i: int(x) for i, x in enumerate(table) if x != 255} == {
    7: 2,
    23: 1,
    30: 0,
  }
  # Of its two names, CamVid's own are more here.
  table = labels.label_map('camvid', path)
  assert table[:12].tolist() == [1, *[255] * 2, 2, 255, 3, *[255] * 6]
  path = write(tmp_path, 'classes: [vehicle, human]')
  assert set(labels.label_map('mapillary', path)[52:63]) == {0}
  with pytest.raises(errors.UserError, match='none of them is in'):
    labels.label_map('streets', path)


def test_ids_of_ones_own_are_checked():
  own = names_to_own(['a', 'b'])
  assert labels.raw_ids('folder', own=own) == (0, 1, 2, 255)
  options = dict(dataset='folder', file='x.png', own=own)
  labels.check_ids(np.array([0, 1, 2, 255]), **options)
  with pytest.raises(errors.UserError, match=r'x\.png: label ids 3 are not'):
    labels.check_ids(np.array([3]), **options)


def test_merging_is_by_name(tmp_path):
  own = write(tmp_path, 'classes: [sky, car, cow, road]')
  fewer = write(tmp_path, 'classes: [cow, sky]', 'fewer.yaml')
  assert labels.merge_map(own, own)[:5].tolist() == [0, 1, 2, 3, 255]
  assert labels.merge_map(own, fewer)[:4].tolist() == [1, 255, 0, 255]
  sky = write(tmp_path, 'classes: [road, sky]', 'sky.yaml')
  merged = labels.merge_map('cityscapes19', sky)
  assert np.flatnonzero(merged != 255).tolist() == [0, 10]
  with pytest.raises(errors.UserError, match='cannot be merged'):
    labels.merge_map(fewer, own)


def test_digits_are_decimal():
  text = 'classes: {no: 010, on: 007, a: 26}\ndepth: {unit: 1e-3}'
  table = class_tables.parse(text, where='a.yaml')
  assert table.codes == {10: 'no', 7: 'on', 26: 'a'}
  assert table.depth == {'unit': 0.001}


def test_texts_of_editors(tmp_path):
  text = '{"classes": {"Stra\u00dfe": 1, "B\u00e4ume": 2}}'
  names = ('Stra\u00dfe', 'B\u00e4ume')
  mark = write(tmp_path, '\ufeff' + text, 'mark.json')
  apart = write(tmp_path, unicodedata.normalize('NFD', text), 'apart.yaml')
  assert class_tables.read_file(mark).names == names
  assert class_tables.read_file(apart).names == names
  # As Python's json writes them.
  codes = text.replace('\u00e4', '\\u0061\\u0308')
  codes = write(tmp_path, codes, 'codes.json')
  assert class_tables.read_file(codes).names == names


def test_numbers_may_begin_with_their_point():
  text = 'classes: {a: 1}\ndepth: {unit: .001, factor: -.5e2}'
  table = class_tables.parse(text, where='c.yaml')
  assert table.depth == {'unit': 0.001, 'factor': -50.0}
  names = ('.', '.e5', 'e5', '1e', '1.2.3')
  text = f'classes: [{", ".join(names)}]'
  assert class_tables.parse(text, where='c.yaml').names == names
