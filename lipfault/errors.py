"""Errors that a user can correct."""


class LipfaultError(Exception):
    """Error in a file, a key or a value that the user can correct.

    The message names the faulty item, the value found and the value expected. The command line
    prints the message without a traceback and exits with status 1.
    """
