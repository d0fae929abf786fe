"""Docstrings as the site's generator reads them."""

import griffe


class Examples(griffe.Extension):
  """Reads the heading `Example:` as Google's other one, `Examples:`.

  Under it lines with `>>>` are code; the first is a note of any title to
  griffe, in which they would be quotations.
  """

  def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
    """Changes the docstring of a module, class, function or attribute."""
    del kwargs
    if obj.docstring:
      lines = obj.docstring.value.splitlines()
      lines = ['Examples:' if x == 'Example:' else x for x in lines]
      obj.docstring.value = '\n'.join(lines)
