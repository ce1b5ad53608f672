"""Fixtures of tests in several folders."""

import signal

import pytest

from data.worker_signals import STOP_SIGNALS


@pytest.fixture
def no_ignored_signals():
    """As in a terminal: under nohup, or in the background, tests inherit ignored signals,
    and so do the programs that they start.
    """
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
