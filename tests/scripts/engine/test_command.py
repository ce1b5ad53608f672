"""How commands end, and the numbers that their options take."""

import argparse

import pytest

from scripts.engine.command import STOPPED, at_least_one, exit_code


def test_a_count_is_a_whole_number_of_at_least_one():
    assert at_least_one("3") == 3
    for text in ("0", "-1", "x", "1.5", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is no whole number of at least 1"):
            at_least_one(text)


def test_ctrl_c_is_no_traceback(capsys):
    def work():
        raise KeyboardInterrupt

    assert exit_code(work) == STOPPED
    assert capsys.readouterr().err == "stopped; run the same command again to continue\n"
