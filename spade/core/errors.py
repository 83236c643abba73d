"""The one exception that a user is meant to read."""

from __future__ import annotations


class SpadeError(Exception):
    """A mistake the user can mend: one sentence with the file, the value and the remedy.

    The command line shows the message without a traceback and exits with ``exit_code``.
    """

    exit_code = 2
