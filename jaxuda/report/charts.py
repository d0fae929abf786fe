"""Line charts and histograms for both light and dark pages."""

from collections.abc import Sequence
import io

from matplotlib import figure
from matplotlib import rc_context
from matplotlib import ticker
import numpy as np

from jaxuda.report import images

# Colours of the runs in order; readable on white and on near-black.
COLORS = (
  '#7d8590',
  '#3b82c4',
  '#d9632a',
  '#1f9d77',
  '#c26aa0',
  '#c9930b',
  '#4aa8d8',
  '#8f6fd6',
)
# A colour that no chart uses: it is replaced by the colour of the page's text.
_INK = '#010203'
_STYLE = (
  '<style>svg{color:#4a525c}'
  '@media (prefers-color-scheme:dark){svg{color:#b6bec8}}'
  'text{font-family:system-ui,sans-serif}</style>'
)
_OPTIONS = {
  'svg.fonttype': 'none',
  # The same runs give the same page.
  'svg.hashsalt': 'jaxuda',
  'axes.edgecolor': _INK,
  'axes.labelcolor': _INK,
  'text.color': _INK,
  'xtick.color': _INK,
  'ytick.color': _INK,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'font.size': 9,
  'path.simplify_threshold': 0.6,
}


def pick_color(number: int) -> str:
  """Returns the colour of a run, given its number from 0."""
  return COLORS[number % len(COLORS)]


def draw_curves(
  curves: Sequence[tuple[int, Sequence[float], Sequence[float]]],
) -> str:
  """Draws one quantity over the steps: (number, steps, values) of each run.

  Returns the URI of an SVG. The scale is logarithmic if the values are positive
  and span more than a factor of 20.
  """
  with rc_context(_OPTIONS):
    axes = _create_axes(width=4.4, height=2.4)
    for number, steps, values in curves:
      color, few = pick_color(number), len(steps) < 15
      # The first runs are on top: the others are compared with them.
      order = {'zorder': 3 - number / 100, 'color': color, 'linewidth': 1.3}
      axes.plot(steps, values, marker='o' if few else '', ms=3.5, **order)
    finite = [y for *_, values in curves for y in values if np.isfinite(y)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    if low > 0 and high / low > 20:
      axes.set_yscale('log')
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.grid(axis='y', color='#80868e', alpha=0.25, linewidth=0.6)
    axes.set_xlabel('steps')
    return _encode(axes)


def draw_histogram(differences: Sequence[float], *, number: int) -> str:
  """Draws a histogram of the images' gains and losses in points of mean IoU.

  Returns the URI of an SVG in the colour of the run with that number; the bars
  of images that got worse are hatched.
  """
  values = np.asarray(differences, float)
  reach = max(1.0, float(np.abs(values).max(initial=0)))
  # An edge at 0, so that no bar mixes gains and losses.
  edges = np.linspace(-reach, reach, 31)
  edges[15] = 0
  counts, _ = np.histogram(values, edges)
  with rc_context(_OPTIONS):
    axes = _create_axes(width=4.4, height=2.2)
    style = {'align': 'edge', 'color': pick_color(number), 'linewidth': 0}
    bars = axes.bar(edges[:-1], counts, np.diff(edges), **style)
    for bar, edge in zip(bars, edges[:-1], strict=False):
      if edge < 0:
        bar.set(alpha=0.55, hatch='////', edgecolor=_INK)
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
    axes.set_xlabel('points of mean IoU')
    axes.set_ylabel('images')
    return _encode(axes)


def _create_axes(width, height):
  return figure.Figure((width, height), layout='constrained').add_subplot()


def _encode(axes):
  file = io.StringIO()
  # No date: see svg.hashsalt.
  options = dict(transparent=True, metadata={'Date': None})
  axes.figure.savefig(file, format='svg', **options)
  text = file.getvalue().replace(_INK, 'currentColor')
  # Matplotlib writes the DOCTYPE of SVG 1.1, whose URL is of no use here.
  text = text[text.index('<svg') :]
  head, _, rest = text.partition('>')
  return images.encode_bytes(f'{head}>{_STYLE}{rest}'.encode(), 'image/svg+xml')
