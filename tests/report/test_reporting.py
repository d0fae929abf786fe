"""The page for two short runs, for runs written by hand, and in a browser."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from jaxuda import errors
from jaxuda.report import reporting
from jaxuda.train import segmentation
from jaxuda.ui import command
from tests import tiny
from tests.report import browser
from tests.report import hand

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTILE = '<script>alert(1)</script>&"\'><img src=x onerror=alert(2)>'


@pytest.fixture(scope='module', name='runs')
def _runs(tmp_path_factory):
  """Returns two trained runs, one without depth, and the page on them."""
  folder = tmp_path_factory.mktemp('runs')
  configs = {
    'plain': tiny.make_config(method={'depth': False}),
    'deep': tiny.make_config(
      seed=4, method={'learning_rate': 0.02, 'depth': True}
    ),
  }
  with pytest.MonkeyPatch.context() as monkeypatch:
    tiny.install(monkeypatch)
    for name, config in configs.items():
      segmentation.train(config, folder / name)
    content = reporting.collect(
      [str(folder / name) for name in configs], images=3
    )
  return folder, content, hand.Page(reporting.render(content))


def _scores(folder, name, kind):
  return json.loads((folder / name / 'scores.json').read_text())[kind]


def _show(value, digits=2):
  return '–' if value is None else f'{value:.{digits}f}'


def test_figures_are_those_of_scores_json(runs):
  folder, _, shown = runs
  first, second = (
    _scores(folder, name, 'last')['figures'] for name in ('plain', 'deep')
  )
  classes = shown.rows('IoU')
  assert len(classes) == 1 + tiny.CLASSES
  for name, value in first['IoU']['value'].items():
    other = second['IoU']['value'][name]
    one, two, change = classes[name]
    assert one.removesuffix(' (best)') == _show(value)
    assert two.removesuffix(' (best)') == _show(other)
    if value is not None and other is not None:
      sign = '−' if change.startswith('−') else ''
      assert float(sign.replace('−', '-') + change.lstrip('+−')) == (
        pytest.approx(other - value, abs=0.0051)
      )
  means = next(
    row for name, row in shown.rows('mIoU').items() if name.startswith('mIoU7')
  )
  assert means[0].removesuffix(' (best)') == _show(first['mIoU7']['value'])
  # Depth errors: only for the run that predicts depth, so no difference.
  depth = {
    name.removesuffix('lower is better'): row
    for name, row in shown.rows('depth').items()
  }
  assert depth['measure'] == ['deep']
  # It predicts 20 m everywhere; the truth is 10 m.
  assert depth['RMS, m'] == [_show(10.0, 3)]
  assert depth['|Rel|'] == [_show(1.0, 3)]


def test_predictions_agree_with_scores_json(runs):
  folder, content, shown = runs
  (group,) = content['groups']
  for check in group['look']['checks']:
    stored = _scores(folder, check['name'], 'last')['figures']['mIoU7']
    assert check['here'] == check['there'] == stored['value']
    assert not check['differs']
  assert 'of 5 validation images' in shown.text
  # The rows of a confusion matrix add up to all true pixels.
  (rows,) = (
    rows for given, rows in shown.tables if given.get('data-run') == 'deep'
  )
  pixels = [int(row[-1][0].replace(',', '')) for row in rows[1:]]
  assert sum(pixels) == 5 * 16 * 32
  for row in group['look']['confusions']['deep']:
    if row['pixels']:
      assert sum(row['shares']) == pytest.approx(100)


def test_negative_transfer_counts_images(runs):
  _, content, _ = runs
  look = content['groups'][0]['look']
  (entry,) = look['transfer']
  assert entry['name'] == 'deep'
  shares = {}
  for sample in reporting.predictions.look(_load(runs), count=5).samples:
    shares[sample.name] = sample.iou['deep'] - sample.iou['plain']
  assert len(shares) == entry['count'] == 5
  assert entry['worse'] == sum(x < 0 for x in shares.values())
  assert entry['rate'] == pytest.approx(100 * entry['worse'] / 5)


def _load(runs):
  folder, _, _ = runs
  with pytest.MonkeyPatch.context() as monkeypatch:
    tiny.install(monkeypatch)
    files = reporting.runs_lib.read(
      [str(folder / n) for n in ('plain', 'deep')]
    )
    loaded, notes = reporting.load(files, which='last')
  assert notes == []
  return loaded


@pytest.fixture(autouse=True)
def _install(monkeypatch):
  tiny.install(monkeypatch)


def test_configs_differences_and_cost(runs):
  _, content, shown = runs
  assert dict(content['fields']) == {
    'method.depth': ['false', 'true'],
    'method.learning_rate': ['absent', '0.02'],
    'seed': ['3', '4'],
  }
  assert 'Protocol and cost' in shown.text
  names = [curve['name'] for curve in content['curves']]
  assert names[0] == 'mIoU7'
  assert {'loss_seg', 'loss_other', 'depth_rms'} <= set(names)


def test_every_picture_is_described_and_inside(runs):
  _, _, shown = runs
  sources = [a for tag, a in shown.tags if tag == 'img']
  # Three images: image, truth, true depth; two runs, one of them with depth.
  assert len(sources) > 3 * (3 + 2 + 3)
  for attributes in sources:
    assert attributes['src'].startswith('data:image/')
    assert len(attributes['alt']) > 8
  for tag, attributes in shown.tags:
    assert not {'onclick', 'onload', 'onerror'} & set(attributes)
    if tag == 'a':
      assert attributes['href'].startswith('#')
  # Link targets exist.
  ids = {a['id'] for _, a in shown.tags if 'id' in a}
  links = {a['href'][1:] for tag, a in shown.tags if tag == 'a'}
  assert links <= ids


def test_hostile_names_are_text(tmp_path):
  # A file name cannot contain a slash.
  name = HOSTILE.replace('/', '∕')
  folders = [
    hand.write_run(tmp_path / name, pair=HOSTILE, road=51.0),
    hand.write_run(
      tmp_path / 'b', name=HOSTILE, protocol={'dataset': HOSTILE}, seed=2
    ),
  ]
  content = reporting.collect(folders, predict=False)
  text = reporting.render(content)
  shown = hand.Page(text)
  assert [tag for tag, _ in shown.tags].count('script') == 1
  assert not any('onerror' in attributes for _, attributes in shown.tags)
  assert shown.text.count(HOSTILE) >= 3
  assert name in shown.text
  assert '<script>alert' not in text


def test_missing_checkpoint(runs, tmp_path):
  folder, _, _ = runs
  gone = hand.write_run(
    tmp_path / 'gone', name='tiny', num_classes=7, method={}
  )
  content = reporting.collect([str(folder / 'plain'), gone], images=1)
  shown = hand.Page(reporting.render(content))
  assert 'gone has no pictures and no confusion matrix: ' in shown.text
  assert shown.rows('IoU')['flat'][1].startswith('50.00')
  look = content['groups'][0]['look']
  assert look['names'] == ['plain']
  assert 'Chosen by pixel error' in shown.text
  # In the reverse order, the first run is the missing one.
  content = reporting.collect([gone, str(folder / 'plain')], images=1)
  reporting.render(content)
  assert content['groups'][0]['look']['names'] == ['plain']


def test_other_protocols_are_not_side_by_side(tmp_path):
  folders = [
    hand.write_run(tmp_path / 'a', road=11.0),
    hand.write_run(tmp_path / 'b', road=22.0, protocol={'split': 'train'}),
  ]
  shown = hand.Page(reporting.render(reporting.collect(folders, predict=False)))
  tables = [
    rows for given, rows in shown.tables if given.get('class') == 'scores IoU'
  ]
  # Last and best of each.
  assert [[cell[0] for cell in rows[1]] for rows in tables] == [
    ['flat', '11.00'],
    ['flat', '12.00'],
    ['flat', '22.00'],
    ['flat', '23.00'],
  ]
  assert 'scored in 2 different ways' in shown.text
  assert 'tiny train' in shown.text


def test_best_checkpoint_stands_apart(tmp_path):
  folders = [
    hand.write_run(tmp_path / 'a', road=50.0),
    hand.write_run(tmp_path / 'b', road=60.0),
  ]
  shown = hand.Page(reporting.render(reporting.collect(folders, predict=False)))
  assert shown.rows('IoU')['flat'] == ['50.00', '60.00 (best)', '+10.00']
  best = shown.rows('IoU', 'best')['flat']
  assert best == ['51.00', '61.00 (best)', '+10.00']
  same = hand.write_run(tmp_path / 'c', steps=(12, 12))
  shown = hand.Page(reporting.render(reporting.collect([same], predict=False)))
  assert 'which is also the best' in shown.text
  assert shown.rows('IoU', 'best') == {}


def test_never_evaluated(tmp_path):
  folder = hand.write_run(tmp_path / 'a')
  (tmp_path / 'a' / 'scores.json').unlink()
  shown = hand.Page(
    reporting.render(reporting.collect([folder], predict=False))
  )
  assert 'a was never evaluated' in shown.text
  assert shown.rows('IoU') == {}


def test_a_folder_without_a_run(tmp_path):
  with pytest.raises(errors.UserError, match=r'config\.json is missing'):
    reporting.collect([str(tmp_path)])


def test_takes_one_run_or_more(capsys):
  several = ['report', 'a', 'b']
  assert command.parse_flags(several, argument='RUN...') == several
  with pytest.raises(SystemExit):
    command.parse_flags(['report'], argument='RUN...')
  assert capsys.readouterr().err == (
    'error: 0 arguments; expected RUN... and --flags\n'
  )


def test_command(tmp_path):
  folders = [hand.write_run(tmp_path / name) for name in 'ab']
  out = tmp_path / 'new' / 'page.html'
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'jaxuda.report', *folders),
      *('--nopredict', f'--out={out}'),
    ],
    capture_output=True,
    text=True,
    cwd=ROOT,
  )
  assert done.returncode == 0, done.stderr
  last = done.stdout.splitlines()[-1]
  assert re.fullmatch(rf'wrote {re.escape(str(out))}, 0\.\d MiB, runs: 2', last)
  assert 'flat' in hand.Page(out.read_text()).rows('IoU')


def test_templates_are_installed():
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())
  patterns = project['tool']['setuptools']['package-data']['jaxuda.report']
  folder = ROOT / 'jaxuda' / 'report'
  installed = {path for x in patterns for path in folder.glob(x)}
  others = {p for p in folder.rglob('*') if p.is_file()} - installed
  assert len(installed) == 3
  assert {p.suffix for p in others} <= {'.py', '.pyc'}


@pytest.mark.skipif(not browser.find(), reason='no Chromium on this machine')
def test_in_a_browser(runs, tmp_path):
  _, content, _ = runs
  file = tmp_path / 'report.html'
  assert reporting.write(file, reporting.render(content)) == file.stat().st_size
  with browser.Browser(tmp_path / 'profile') as opened:
    opened.open(file)
    sizes = opened.run("""Promise.all([...document.images].map(
      (x) => x.decode().then(() => x.naturalWidth)))""")
    assert len(sizes) > 20
    assert min(sizes) > 0
    order = """[...document.querySelectorAll('table.IoU tbody tr')].map(
      (row) => row.cells[1].dataset.value)"""
    click = """document.querySelectorAll(
      'table.IoU th[aria-sort] button')[1].click()"""
    given = opened.run(order)
    numbers = sorted((float(x) for x in given if x), reverse=True)
    missing = [''] * given.count('')
    # In the order of the classes, then descending, then ascending.
    assert [float(x) for x in given if x] != numbers
    for expected in (numbers, numbers[::-1]):
      opened.run(click)
      sorted_now = opened.run(order)
      assert [float(x) for x in sorted_now if x] == expected
      assert sorted_now[len(expected) :] == missing
    headings = opened.run("""[...document.querySelectorAll(
      'table.IoU th[aria-sort]')].map((x) => x.getAttribute('aria-sort'))""")
    assert headings == ['none', 'ascending', 'none', 'none']
    # No wider than a phone, whatever the tables.
    opened.call(
      'Emulation.setDeviceMetricsOverride',
      **dict(width=375, height=800, deviceScaleFactor=1, mobile=True),
    )
    assert opened.run('document.documentElement.scrollWidth') <= 375
    caused = {name for name, _ in opened.events}
    addresses = [
      options['request']['url']
      for name, options in opened.events
      if name == 'Network.requestWillBeSent'
    ]
  assert not caused & {
    'Runtime.consoleAPICalled',
    'Runtime.exceptionThrown',
    'Log.entryAdded',
  }
  assert [x for x in addresses if not x.startswith('data:')] == [file.as_uri()]
