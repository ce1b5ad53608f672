"""A full disk is one sentence with the bytes that are free, whatever Torch makes of it; other
errors stay what they are.
"""

import errno
import resource
import signal
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scripts.engine import disk
from scripts.engine.command import ENVIRONMENT, WRONG_INPUT, EnvironmentFault, exit_code
from scripts.engine.disk import check_room, full_disk_named, tensor_bytes
from scripts.engine.files import save_tensors, write_atomically
from scripts.engine.kept_tensors import keep_tensors, load_tensors
from scripts.engine.run_folder import step_files
from scripts.engine.run_folder.checkpoint import save_checkpoint


@contextmanager
def files_of_at_most(size):
    """No file of this process can become larger, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("count", [10, 1000, 100_000])
def test_torch_on_a_full_disk_is_a_full_disk(tmp_path, count):
    with (
        pytest.raises(EnvironmentFault, match=r"bytes are free in .*; free some disk space"),
        full_disk_named(tmp_path / "x.pt"),
        open("/dev/full", "wb", buffering=0) as file,
    ):
        torch.save({"a": torch.zeros(count)}, file)


@pytest.mark.fault("R03")
def test_a_half_written_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "x.pt"
    save_tensors(path, {"a": torch.zeros(3)})
    before = path.read_bytes()
    with files_of_at_most(50_000), pytest.raises(EnvironmentFault, match=r"needs 400,000 bytes, "):
        save_tensors(path, {"a": torch.zeros(100_000)})
    with files_of_at_most(5), pytest.raises(EnvironmentFault, match="File too large"):
        write_atomically(path, "longer than that")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="of the network") as error, full_disk_named(tmp_path):
        raise RuntimeError("of the network")
    assert not isinstance(error.value, EnvironmentFault)
    with pytest.raises(PermissionError), full_disk_named(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def free_bytes(monkeypatch, free):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


@pytest.mark.fault("R03")
def test_a_checkpoint_that_has_no_room_is_not_begun(tmp_path, monkeypatch):
    state = {"model": {"a": torch.zeros(1000)}, "step": 1, "run": {}}
    path = save_checkpoint(tmp_path, 1, state)
    size = path.stat().st_size
    free_bytes(monkeypatch, int(1.1 * size))
    monkeypatch.setattr(torch, "save", lambda *_: pytest.fail("it was begun"))
    with pytest.raises(
        EnvironmentFault,
        match=rf"it needs {int(1.2 * size):,} bytes; {int(1.1 * size):,} bytes are",
    ):
        save_checkpoint(tmp_path, 2, state)
    assert step_files.newest_checkpoint(tmp_path) == path


def test_the_first_checkpoint_knows_its_size_from_its_tensors(tmp_path, monkeypatch):
    free_bytes(monkeypatch, 4000)
    with pytest.raises(EnvironmentFault, match="it needs 4,800 bytes"):
        save_checkpoint(tmp_path, 1, {"model": {"a": torch.zeros(1000)}})
    assert (
        tensor_bytes({"a": [torch.zeros(2), {"b": torch.zeros(3, dtype=torch.int8)}], "c": 1}) == 11
    )
    check_room(tmp_path, 3333)


def test_what_can_be_computed_again_is_a_warning(tmp_path, capsys):
    path = tmp_path / "c.pt"
    with files_of_at_most(5000):
        keep_tensors(path, {"a": torch.zeros(10_000)})
    printed = capsys.readouterr().out
    assert f"warning: {path} is not kept and is computed again the next time" in printed
    assert load_tensors(path, {"a"}) is None
    keep_tensors(path, {"a": torch.zeros(10)})
    assert load_tensors(path, {"a"})["a"].shape == (10,)


def test_a_command_ends_with_one_sentence(capsys):
    def work():
        raise EnvironmentFault("The disk is full.")

    assert exit_code(work) == ENVIRONMENT == 5
    assert exit_code(lambda: Path("/dev/full").write_text("x") and 0) == ENVIRONMENT
    assert exit_code(lambda: Path("/no/such/file").read_text() and 0) == WRONG_INPUT
    assert capsys.readouterr().err.startswith("error: The disk is full.\nerror: ")
