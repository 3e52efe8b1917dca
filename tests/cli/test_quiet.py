"""Advertisements and noise of Lightning are dropped, everything else stays."""

import logging

import lightning
import pytest
from lightning.pytorch.trainer.connectors.callback_connector import _CallbackConnector
from lightning.pytorch.utilities import rank_zero_info

from lipfault.cli.quiet import ignore_messages


@pytest.fixture
def logged(monkeypatch):
    """Messages that reach the handlers of Lightning's logger."""
    found = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logger = logging.getLogger('lightning.pytorch.utilities.rank_zero')
    before = list(logger.filters)
    logger.filters.clear()  # of a command that another test has run in this process
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
    logger.filters[:] = before


@pytest.mark.filterwarnings('default')
def test_lightning_is_quiet_about_other_products(logged, tmp_path):
    trainer = lightning.Trainer(accelerator='cpu', logger=False, default_root_dir=tmp_path)
    trainer._callback_connector._pending_litmodels_tip = True
    _CallbackConnector._maybe_show_litmodels_tip(trainer._callback_connector)
    assert any('litmodels' in line for line in logged)  # else there is nothing to filter
    logged.clear()

    ignore_messages()
    trainer = lightning.Trainer(
        accelerator='cpu', logger=[], default_root_dir=tmp_path, enable_progress_bar=False
    )
    trainer._callback_connector._pending_litmodels_tip = True
    _CallbackConnector._maybe_show_litmodels_tip(trainer._callback_connector)
    assert logged == []


@pytest.mark.parametrize(
    'text',
    [
        'GPU available: True (cuda), used: True',
        'GPU available: True (cuda), used: False',
        'Restoring states from the checkpoint path at a.ckpt',
        'litlogger is a word like any other',
    ],
)
def test_what_informs_stays(logged, text):
    ignore_messages()
    rank_zero_info(text)
    assert logged == [text]
