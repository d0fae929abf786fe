"""Creates an individual style for every scene of `streets/wide`."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from jaxuda.streets.domains import palette
from jaxuda.streets.domains import source
from jaxuda.streets.domains import wide

# Patterns with the contrast of the ground, of houses, and of everything else.
_GROUND = ('asphalt', 'worn', 'paving', 'grass', 'blocks')
_HOUSES = ('facade', 'masonry')
_OTHERS = ('plain', 'bars', 'paint', 'parts', 'glass', 'panes', 'cargo', 'bark')


def sample(kinds: Sequence[str], key: Sequence[int]) -> palette.Style:
  """Samples the style of one scene.

  Args:
    kinds: kinds of variation to apply, out of `wide.KINDS`.
    key: seed of the scene.

  Returns:
    The style of `streets/source`, changed by the kinds.
  """
  look, changes = {}, {}
  for place, (kind, table) in enumerate(wide.KINDS.items()):
    if kind in kinds:
      # Each kind has its own generator and does not depend on the others.
      rng = np.random.default_rng([*key, place])
      drawn = palette.draw(
        rng, {k: v for k, v in table.items() if k != 'tones'}
      )
      lights, styles = _MAKERS[kind](rng, drawn)
      look |= lights
      for name, value in styles.items():
        if isinstance(value, Mapping):
          value = {**changes.get(name, {}), **value}
        changes[name] = value
  if 'haze_light' in look:
    horizon = look.get('horizon', source.DAY['horizon'])
    look['haze_color'] = look.pop('haze_light') * horizon
  return dataclasses.replace(source.STYLE, **changes, look=look)


def _tones(rng, table, drawn) -> dict[str, list[palette.Tone]]:
  """Draws the tones of every kind of object in a scene.

  Args:
    rng: source of randomness.
    table: kind of object -> tones that contain those to draw.
    drawn: 'number' of tones, and 'variety' around them, percent.
  """
  reach = drawn['variety'] * np.array([0.4, 1.0, 1.0])
  made = {}
  for kind, tones in table.items():
    tones = np.array(tones)[rng.integers(len(tones), size=drawn['number'])]
    low, high = tones[:, ::2], tones[:, 1::2]
    middle = rng.uniform(low, high)
    ends = np.maximum(middle - reach, low), np.minimum(middle + reach, high)
    made[kind] = [tuple(x) for x in np.stack(ends, 2).reshape(-1, 6).tolist()]
  return made


def _sky(rng, drawn) -> tuple[dict[str, Any], dict[str, Any]]:
  """Returns fields of `look.Look` and `palette.Style`, like all makers."""
  tones = wide.SKY['tones']
  colors = {k: np.array(palette.pick(rng, tones[k])) for k in tones}
  return drawn | colors, {}


def _light(rng, drawn):
  sun, shade = (
    np.array(palette.pick(rng, tones)) for tones in wide.LIGHT['tones'].values()
  )
  up, across = np.sin(drawn['elevation']), np.cos(drawn['elevation'])
  azimuth, direct = drawn['azimuth'], drawn['direct']
  balance = np.array([drawn[k] for k in ('red', 'green', 'blue')])
  look = {
    'sun': np.array([np.sin(azimuth) * across, up, np.cos(azimuth) * across]),
    'sunlight': 1.3 * direct * sun,
    'skylight': (1.0 - 0.65 * direct) * shade,
    'gain': drawn['exposure'] * balance,
    'lift': np.full(3, drawn['stray']),
  }
  same = ('gamma', 'saturation', 'haze', 'haze_light')
  return look | {k: drawn[k] for k in same}, {}


def _foliage(rng, drawn):
  crowns = rng.permutation(drawn['kinds'])[: drawn['mixed']]
  style = {k: drawn[k] for k in ('hedge', 'spread', 'deep')}
  style['crowns'] = tuple(str(x) for x in crowns)
  style['paints'] = _tones(rng, wide.FOLIAGE['tones'], drawn)
  style['textures'] = {'foliage': drawn['leaves']}
  return {}, style


def _surfaces(rng, drawn):
  paints = _tones(rng, wide.SURFACES['tones'], drawn)
  if drawn['same']:
    step = drawn['step']
    paints['sidewalk'] = [
      (*tone[:4], *(min(max(v + step, 5), 100) for v in tone[4:]))
      for tone in paints['road']
    ]
  textures = {
    **dict.fromkeys(_GROUND, drawn['ground']),
    **dict.fromkeys(_HOUSES, drawn['houses']),
    **dict.fromkeys(_OTHERS, drawn['others']),
  }
  same = ('patterns', 'tile', 'patch', 'marking', 'margin', 'bay', 'windows')
  style = {k: drawn[k] for k in (*same, 'fade')}
  style |= {'paints': paints, 'textures': textures}
  return {}, style | {'wear': tuple(drawn['wear'].values())}


def _content(rng, drawn):
  del rng
  style = dict(drawn)
  cars = np.array(list(style.pop('cars').values()))
  at_kerb = np.array(list(style.pop('at_kerb').values()))
  style['car_shapes'] = tuple(cars / cars.sum())
  style['furniture_mix'] = tuple(np.cumsum(at_kerb / at_kerb.sum())[:3])
  return {}, style


_MAKERS = {
  'sky': _sky,
  'light': _light,
  'foliage': _foliage,
  'surfaces': _surfaces,
  'camera': lambda rng, drawn: ({}, drawn),
  'content': _content,
  'shadows': lambda rng, drawn: (drawn, {}),
  'sensor': lambda rng, drawn: (drawn, {}),
}
