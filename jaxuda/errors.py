"""The one exception for mistakes that a user can mend."""


class UserError(Exception):
  """A mistake in a command, a config, a file or a folder.

  The message is one line that names the thing, says what was expected and,
  where there are few, lists the alternatives. Command-line tools print it and
  exit with 1; nothing else is caught.
  """
