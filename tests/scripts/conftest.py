"""What the tests of many commands share."""

import pytest

from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of a data set of 12 training and 3 validation scenes."""
    return tiny_dataset(tmp_path_factory.mktemp("data"))
