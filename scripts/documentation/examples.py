"""Adapts docstrings for the site generator."""

import griffe


class Examples(griffe.Extension):
  """Treats the heading `Example:` as `Examples:`, both of Google's style.

  Under `Examples:` lines with `>>>` are code; griffe takes `Example:` for a
  note with a free title, in which they would be quotations.
  """

  def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
    """Changes the docstring of a module, class, function or attribute."""
    del kwargs
    if obj.docstring:
      lines = obj.docstring.value.splitlines()
      lines = ['Examples:' if x == 'Example:' else x for x in lines]
      obj.docstring.value = '\n'.join(lines)
