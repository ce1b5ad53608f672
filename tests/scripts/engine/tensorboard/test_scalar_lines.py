"""training.jsonl has each step once, whatever happened in between."""

import json

import pytest

from scripts.engine.tensorboard.scalar_lines import ScalarLines


@pytest.mark.fault("R64")
def test_a_training_that_goes_on_drops_later_and_broken_lines(tmp_path):
    path = tmp_path / "training.jsonl"
    lines = ScalarLines(path, 0)
    for step in (0, 20, 40):
        lines.add(step, {"loss": float("nan") if step else 1.0})
    path.write_text(path.read_text() + '{"step": 6')
    ScalarLines(path, 40).add(40, {"loss": 2.0})
    assert list(map(json.loads, path.read_text().splitlines())) == [
        {"step": 0, "loss": 1.0},
        {"step": 20, "loss": None},
        {"step": 40, "loss": 2.0},
    ]


def test_a_file_that_cannot_be_written_is_one_warning(tmp_path, capsys):
    lines = ScalarLines(tmp_path / "no" / "such" / "training.jsonl", 0)
    for step in range(3):
        lines.add(step, {"loss": 1.0})
    assert capsys.readouterr().out.count("is not written any more") == 1
