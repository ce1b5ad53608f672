"""TensorBoard's files: a full disk is one warning, and after a resume nothing is there twice."""

import time

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.summary.writer import record_writer
from tensorboard.util.tensor_util import make_ndarray

from data.scoring.score_curve import score_curve
from scripts.engine.tensorboard.event_log import EventLog
from scripts.engine.training.progress import Progress


def full(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.fault("R04")
@pytest.mark.parametrize("method", ["write", "flush"])
def test_a_disk_that_fills_up_is_one_warning(tmp_path, monkeypatch, capsys, method):
    progress = Progress(
        folder=tmp_path, lines=tmp_path / "lines.jsonl", title="net", start=0, total=9
    )
    monkeypatch.setattr(record_writer.RecordWriter, method, full)
    for step in range(200):
        progress.scalars(step, {"a": 1.0})
        if progress.log.writer is None:
            break
        time.sleep(0.001)
    progress.scalars(201, {"a": 1.0})
    progress.close()
    printed = capsys.readouterr()
    assert printed.out.count("No space left on device") == 1
    assert "TensorBoard shows nothing more of this training, which goes on" in printed.out
    assert "Traceback" not in printed.err


def test_a_log_that_cannot_be_begun_is_one_warning(tmp_path):
    (tmp_path / "file").write_text("")
    warnings = []
    log = EventLog(tmp_path / "file", start=0, warn=warnings.append)
    log.add("a", 1.0, 0)
    log.close()
    assert len(warnings) == 1


def add_one_of_each(log, updates, value):
    """A point of every kind at ``updates``."""
    curve = score_curve([], [])
    log.add("scalar", value, updates)
    log.add_histogram("histogram", torch.full((3,), value), updates)
    log.add_picture("picture", Image.new("RGB", (4, 4), (int(value), 0, 0)), updates)
    log.add_curve("curve", curve, updates)
    log.add_text("text", f"{value}", updates)


@pytest.mark.fault("R64")
def test_a_training_that_goes_on_shows_nothing_twice(tmp_path):
    """From 10 updates on: what 11 and more showed before is gone, 10 itself stays."""
    for start, end in ((0, 20), (10, 15)):
        log = EventLog(tmp_path, start=start, warn=pytest.fail)
        for updates in range(start + 1, end + 1):
            add_one_of_each(log, updates, float(end))
        log.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    assert len(tags) == 5
    for tag in tags:
        assert [event.step for event in events.Tensors(tag)] == list(range(1, 16)), tag
    values = [float(make_ndarray(event.tensor_proto)) for event in events.Tensors("scalar")]
    assert values == [20.0] * 10 + [15.0] * 5
