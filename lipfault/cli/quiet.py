"""Messages of Lightning and torch that no user of lipfault can act on."""

import logging
import re
import warnings

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
    """Drop the log records that begin as one of the ignored messages."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to keep a record.

        Args:
            record: The record.
        """
        text = record.getMessage()
        return not any(re.match(pattern, text) for pattern in IGNORED_MESSAGES)


_FILTER = MessageFilter()


def ignore_messages() -> None:
    """Switch off the ignored warnings and log messages; all others stay."""
    for pattern in IGNORED_WARNINGS:
        warnings.filterwarnings('ignore', pattern)
    # On the logger, not on its handlers: these may be replaced. Adding it twice has no effect.
    logging.getLogger(_LOGGER).addFilter(_FILTER)
