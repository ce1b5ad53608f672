"""What --deterministic sets, puts back, and says."""

import os

import pytest
import torch
from torch.backends import cudnn

from scripts.engine.update.deterministic import WORKSPACE, deterministic


def settings():
    enabled = torch.are_deterministic_algorithms_enabled()
    return enabled, cudnn.benchmark, cudnn.deterministic, os.environ.get(WORKSPACE)


def test_it_is_set_inside_and_as_before_outside(monkeypatch):
    monkeypatch.delenv(WORKSPACE, raising=False)
    before = settings()
    with deterministic(False):
        assert settings() == before
    with deterministic(True):
        assert settings() == (True, False, True, ":4096:8")
    assert settings() == before


def test_a_workspace_of_the_user_stays(monkeypatch):
    monkeypatch.setenv(WORKSPACE, ":16:8")
    with deterministic(True):
        assert os.environ[WORKSPACE] == ":16:8"
    assert os.environ[WORKSPACE] == ":16:8"


def test_an_operation_without_such_a_version_is_named():
    text = "roi_pool_backward_kernel does not have a deterministic implementation, but you set ..."
    with (
        pytest.raises(ValueError, match=r"^--deterministic: roi_pool_backward_kernel does not"),
        deterministic(True),
    ):
        raise RuntimeError(text)
    with pytest.raises(RuntimeError, match=r"^other$"), deterministic(True):
        raise RuntimeError("other")
    assert not torch.are_deterministic_algorithms_enabled()
