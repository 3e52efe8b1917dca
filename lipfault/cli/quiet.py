"""Messages of Lightning and torch that no user of lipfault can act on, and lost output."""

import contextlib
import io
import logging
import os
import re
import sys
import warnings

from lipfault.runs.reading import escaped

IGNORED_WARNINGS = (
    "LightningCLI's args parameter is intended",  # the arguments are completed before they go there
    'Be aware that when using `ckpt_path`, callbacks',  # of the training; a test has others
    'Experiment logs directory',  # that it is not empty; the metrics in it have been put aside
    r'`isinstance\(treespec, LeafSpec\)` is deprecated',  # in the source of Lightning
)
"""Beginnings of warnings, as regular expressions."""

IGNORED_MESSAGES = (
    r'.*try installing \[lit\w+\]\(https?://pypi\.org/',  # advertisements for other products
    r'GPU available: False, used: False$',  # a GPU that is there is reported, used or not
    r'TPU available: False, using: 0 TPU cores$',
    r'Loading `train_dataloader` to estimate number of stepping batches\.$',
)
"""Beginnings of log messages, as regular expressions."""

_LOGGER = 'lightning.pytorch.utilities.rank_zero'
"""The logger behind Lightning's `rank_zero_info`."""


class MessageFilter(logging.Filter):
    """Drop the log records that begin as one of the ignored messages, escape all others."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to keep a record.

        Args:
            record: The record.
        """
        text = record.getMessage()
        if escaped(text) != text:  # names that a file holds
            record.msg, record.args = escaped(text), None
        return not any(re.match(pattern, text) for pattern in IGNORED_MESSAGES)


_FILTER = MessageFilter()


def ignore_messages() -> None:
    """Switch off the ignored warnings and log messages; all others stay."""
    for pattern in IGNORED_WARNINGS:
        warnings.filterwarnings('ignore', pattern)
    # On the logger, not on its handlers: these may be replaced. Adding it twice has no effect.
    logging.getLogger(_LOGGER).addFilter(_FILTER)


class _PatientOutput(io.TextIOWrapper):
    """Standard output or error that goes on without a reader.

    A training whose log is read by `head`, or by a terminal that is gone, would end at its next
    line, in the middle of an epoch. Instead a line on standard error says that nobody reads.
    """

    def write(self, text: str) -> int:
        """Write, or drop the text if nobody reads.

        Args:
            text: The text.

        Returns:
            Number of characters.
        """
        try:
            return super().write(text)
        except BrokenPipeError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it if nobody reads."""
        try:
            super().flush()
        except BrokenPipeError:
            self._give_up()

    def _give_up(self) -> None:
        """Lead the descriptor to the null device, so that later writes succeed."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        with contextlib.suppress(OSError):  # the same reader, as of `2>&1 | head`
            sys.stderr.write('lipfault: nobody reads the output any more; going on without it\n')
            sys.stderr.flush()


def outlive_output() -> None:
    """Let the process go on if the reader of its output ends, as `head` does."""
    for name in ('stderr', 'stdout'):
        stream = getattr(sys, name)
        # A terminal stays; output that is captured, as in a notebook, has no descriptor.
        if type(stream) is io.TextIOWrapper and not stream.isatty():
            stream.flush()
            # A buffer of its own: a handler of a log may hold the old object.
            patient = _PatientOutput(
                open(stream.fileno(), 'wb', closefd=False),  # noqa: SIM115
                encoding=stream.encoding,
                errors='backslashreplace',
                line_buffering=stream.line_buffering,
            )
            setattr(sys, name, patient)
