"""How commands end, and the numbers that their options take."""

import argparse

import pytest

from scripts.engine.command import at_least_one


def test_a_count_is_a_whole_number_of_at_least_one():
    assert at_least_one("3") == 3
    for text in ("0", "-1", "x", "1.5", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is no whole number of at least 1"):
            at_least_one(text)
