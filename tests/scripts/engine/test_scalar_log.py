"""TensorBoard's full disk ends the log with one warning, and no training."""

import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import record_writer

from scripts.engine.progress import Progress
from scripts.engine.scalar_log import ScalarLog


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
    log = ScalarLog(tmp_path / "file", start=0, warn=warnings.append)
    log.add("a", 1.0, 0)
    log.close()
    assert len(warnings) == 1


@pytest.mark.fault("R64")
def test_a_training_that_goes_on_shows_no_step_twice(tmp_path):
    for start, end in ((0, 20), (10, 15)):
        log = ScalarLog(tmp_path, start=start, warn=pytest.fail)
        for step in range(start, end):
            log.add("a", float(end), step)
        log.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("a")]
    assert shown == [(step, 20.0 if step < 10 else 15.0) for step in range(15)]
