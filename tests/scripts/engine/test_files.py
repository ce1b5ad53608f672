"""Files are written whole or not at all, and what cannot be read is computed again."""

import json
import os

import pytest
import torch

from scripts.engine import files
from scripts.engine.files import json_safe, save_tensors, write_atomically, write_json
from scripts.engine.kept_tensors import load_tensors


def test_small_files_are_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "x.json"
    write_atomically(path, "old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new and longer")
    assert path.read_text() == "old"


def test_tensors_come_back_or_are_computed_again(tmp_path, capsys):
    path = tmp_path / "folder" / "x.pt"
    assert load_tensors(path, {"a"}) is None
    digest = save_tensors(path, {"a": torch.ones(3)})
    assert digest == files.sha256(path)
    assert torch.equal(load_tensors(path, {"a"})["a"], torch.ones(3))
    assert capsys.readouterr().out == ""
    assert load_tensors(path, {"a", "b"}) is None
    path.write_bytes(b"half")
    assert load_tensors(path, {"a"}) is None
    assert capsys.readouterr().out.count("is damaged and is computed again") == 2


def test_json_has_no_nan(tmp_path):
    assert json_safe({"a": [float("nan"), 1.0], "b": (float("inf"), "x")}) == {
        "a": [None, 1.0],
        "b": [None, "x"],
    }
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": 2.5})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": 2.5}
