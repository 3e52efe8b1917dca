"""Errors that a user can act on."""


class LipfaultError(Exception):
    """A mistake in a file, a key or a value, worded for the person who can mend it.

    The message names the culprit, what was found and what would be right. The command line prints
    it without a traceback and exits with status 1.
    """
