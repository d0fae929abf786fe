"""Workdirs written by hand, and the content of a page's tables."""

import html.parser
import json

PROTOCOL = {
  'classes': 'coarse7',
  'dataset': 'tiny',
  'split': 'val',
  'images': 5,
  'label_resolution': [16, 32],
}
CLASSES = ('flat', 'construction', 'object', 'nature', 'sky', 'human')


def write_run(
  folder, *, road=50.0, miou=40.0, rms=None, steps=(6, 12), rates=(2, 4), **more
):
  """Writes config.json, scores.json and metrics.jsonl.

  The IoU of the first class is `road`, of the others `miou`; `rms` is a depth
  error. `more` goes into the config, a 'protocol' into that of the scores.
  """
  protocol = {**PROTOCOL, **more.pop('protocol', {})}
  config = {
    'name': 'source_only',
    'pair': 'tiny',
    'classes': 'coarse7',
    'seed': 1,
    'batch_size': 2,
    'data': {'target': {'dataset': 'tiny', 'eval_split': 'val'}},
    **more,
  }
  scores = {}
  # The best comes first, and is one point better.
  for kind, step, gain in (('last', steps[1], 0), ('best', steps[0], 1)):
    figure = {'unit': '%', 'checkpoint_step': step, **protocol}
    iou = dict.fromkeys(CLASSES, miou + gain) | {'flat': road + gain}
    figures = {
      'mIoU7': {'value': miou + gain, 'subset': ['flat', 'sky'], **figure},
      'IoU': {'value': {**iou, 'vehicle': None}, **figure},
    }
    if rms is not None:
      figures['depth_rms'] = {**figure, 'value': rms, 'unit': 'm'}
      figures['depth_delta1'] = {**figure, 'value': rms / 10, 'unit': ''}
    scores[kind] = {'checkpoint_step': step, 'main': 'mIoU7'}
    scores[kind]['figures'] = figures
  folder.mkdir(parents=True)
  (folder / 'config.json').write_text(json.dumps(config))
  (folder / 'scores.json').write_text(json.dumps(scores))
  lines = [
    {'kind': 'train', 'step': 6, 'loss_seg': 2.5, 'steps_per_second': rates[0]},
    {
      'kind': 'train',
      'step': 12,
      'loss_seg': 1.5,
      'steps_per_second': rates[1],
    },
    {'kind': 'eval', 'step': 12, 'mIoU7': miou},
  ]
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  (folder / 'metrics.jsonl').write_text(text)
  return str(folder)


class Page(html.parser.HTMLParser):
  """The elements of a page.

  Attributes:
    tables: for each table its attributes, and rows of (text, attributes).
    tags: (name, attributes) of every element.
    text: all visible text.
  """

  def __init__(self, text):
    super().__init__()
    self.tables, self.tags, self.text = [], [], ''
    self._cell = None
    self.feed(text)
    self.close()

  def table(self, **attributes):
    """Returns the rows of the only table with these attributes."""
    found = [
      rows
      for given, rows in self.tables
      if all(given.get(f'data-{k}') == v for k, v in attributes.items())
    ]
    assert len(found) == 1
    return found[0]

  def rows(self, kind, checkpoint='last'):
    """Returns {name: texts of its cells} of a score table, with heading."""
    for given, rows in self.tables:
      if given.get('class') == f'scores {kind}':
        if given['data-checkpoint'] == checkpoint:
          return {row[0][0]: [text for text, _ in row[1:]] for row in rows}
    return {}

  def handle_starttag(self, tag, attrs):
    attributes = dict(attrs)
    self.tags.append((tag, attributes))
    if tag == 'table':
      self.tables.append((attributes, []))
    elif tag == 'tr':
      self.tables[-1][1].append([])
    elif tag in ('th', 'td'):
      self._cell = ['', attributes]

  def handle_endtag(self, tag):
    if tag in ('th', 'td'):
      text, attributes = self._cell
      self.tables[-1][1][-1].append((text.strip(), attributes))
      self._cell = None

  def handle_data(self, data):
    self.text += data
    if self._cell is not None:
      self._cell[0] += data
