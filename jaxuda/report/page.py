"""Fills the template. Every text is escaped; style and script are inline."""

from collections.abc import Mapping
import os
import pathlib
from typing import Any

import jinja2


def render(content: Mapping[str, Any]) -> str:
  """Returns the page, which needs no other file and no network.

  Args:
    content: what the template names; see `jaxuda.report.collect`.
  """
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader('jaxuda.report'),
    # Whatever the file is called: names of runs come from paths and configs.
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  return environment.get_template('report.html').render(content)


def write(path: str | os.PathLike, text: str) -> int:
  """Writes the page, whole or not at all; returns its size in bytes."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + '.part')
  part.write_text(text, encoding='utf-8')
  part.rename(path)
  return path.stat().st_size
