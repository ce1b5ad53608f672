"""Of a kept file every flipped byte is found, with its note and without."""

import random

import pytest
import torch

from scripts.engine.kept_tensors import keep_tensors, load_tensors


@pytest.mark.parametrize("noted", [True, False])
def test_a_flipped_byte_never_changes_what_is_read(tmp_path, capsys, noted):
    path = tmp_path / "c.pt"
    content = {"a": torch.arange(500.0)}
    keep_tensors(path, content)
    if not noted:
        path.with_suffix(".json").unlink()
    whole = path.read_bytes()
    found = 0
    for place in random.Random(0).sample(range(len(whole)), 60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        loaded = load_tensors(path, {"a"})
        found += loaded is None
        assert loaded is None or torch.equal(loaded["a"], content["a"])  # in a name or a gap
    assert found == 60 if noted else found > 30
    assert capsys.readouterr().out.count("is damaged and is computed again") == found
    path.write_bytes(whole)
    assert load_tensors(path, {"a"}) is not None
