"""Several processes train and evaluate what one process does; what goes wrong in one ends all."""

import json
import re
import shutil
import socket
import time

import pytest

from data.sampler import Share
from scripts.engine.command import EnvironmentFault, LostProcess
from scripts.engine.processes import (
    is_started_by_torchrun,
    joined,
    said_by_first,
    share,
)
from scripts.engine.run_folder import heartbeat as heartbeat_module
from scripts.engine.run_folder.heartbeat import Heartbeat, last_signs
from tests.processes import together, variables
from tests.shared_training import KINDS, evaluated, finished, losses_of


@pytest.mark.fault("R71")
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("RANK",), "has RANK and lacks LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT"),
        (("RANK", "WORLD_SIZE", "LOCAL_RANK"), "lacks MASTER_ADDR, MASTER_PORT"),
    ],
)
def test_half_of_torchruns_variables_is_refused(given, sentence):
    whole = variables(0, 2, 29500)
    with pytest.raises(ValueError, match=sentence):
        is_started_by_torchrun({name: whole[name] for name in given})
    assert is_started_by_torchrun(whole)
    assert not is_started_by_torchrun({"MASTER_ADDR": "elsewhere"})


@pytest.mark.fault("R72")
def test_a_port_in_use_is_a_sentence(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for name, value in variables(0, 2, taken.getsockname()[1]).items():
            monkeypatch.setenv(name, value)
        with (
            pytest.raises(EnvironmentFault, match=r"2 processes do not find each other at 127"),
            joined("cpu", timeout_s=2),
        ):
            pass


def test_alone_everything_is_done_here():
    with joined("cpu") as alone:
        assert alone == share() == Share(rank=0, of=1)
        assert said_by_first(lambda: 7) == 7


def test_signs_of_life_say_what_each_process_did_last(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat_module, "EVERY_S", 0.01)
    hearts = [
        Heartbeat(path=tmp_path / f"process-{rank}.json", share=Share(rank=rank, of=2))
        for rank in range(2)
    ]
    hearts[0].now("waiting for the others before update 3")
    hearts[1].now("reading the images of update 3")
    hearts[0].write()
    hearts[1].write()
    signs = r"gone\. Last .*0 .* waiting .*1 .* was reading the images of update 3"
    with pytest.raises(LostProcess, match=signs), hearts[1].beating():
        raise LostProcess("Process 1 is gone.")
    with hearts[1].beating():
        pass
    assert "process 1" not in last_signs(tmp_path)


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """The losses of six updates of one process."""
    return losses_of("faster", data, tmp_path_factory.mktemp("alone"), 6, double=True)


def two_more_updates(data, out):
    """The losses of two of six updates, which go on from those that were made."""
    return losses_of("faster", data, out, 6, double=True, stop_after=2)


def is_close(lines, expected):
    """Whether losses are the same but for rounding."""
    return all(a == pytest.approx(b, abs=1e-6) for a, b in zip(lines, expected, strict=True))


@pytest.mark.fault("R14")
def test_two_processes_make_the_updates_of_one(data, alone, tmp_path):
    two = together(2, two_more_updates, data, tmp_path)
    assert two[0] == two[1]
    assert is_close(two[0], alone[:2])
    assert len(list(tmp_path.rglob("events.*"))) == 1  # the first process alone tells TensorBoard


@pytest.mark.slow_fault
@pytest.mark.fault("R15")
def test_two_processes_and_then_one_and_two_again_make_the_updates_of_one(data, alone, tmp_path):
    made = [
        *together(2, two_more_updates, data, tmp_path)[0],
        *two_more_updates(data, tmp_path),
        *together(2, two_more_updates, data, tmp_path)[0],
    ]
    assert [line["step"] for line in made] == list(range(6))
    assert is_close(made, alone)


@pytest.mark.slow_fault
@pytest.mark.fault("R14")
@pytest.mark.parametrize("kind", KINDS)
def test_fifty_updates_of_two_processes_are_those_of_one(data, tmp_path, kind):
    alone = fifty_in_float64(kind, data, tmp_path / "alone")
    two = together(2, fifty_in_float64, kind, data, tmp_path / "two")
    assert two[0] == two[1]
    assert len(two[0]) == 50
    assert is_close(two[0], alone)


def fifty_in_float64(kind, data, out):
    return losses_of(kind, data, out, 50, double=True)


@pytest.mark.slow_fault
@pytest.mark.fault("R28")
def test_each_image_is_evaluated_once_and_the_numbers_are_exactly_those_of_one(data, tmp_path):
    """3 images in batches of one size: the processes have different numbers of batches."""
    finished(data, tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    alone = evaluated(data, tmp_path / "one")
    two = together(2, evaluated, data, tmp_path / "two")
    assert two == [alone, alone]
    assert alone


@pytest.mark.slow_fault
@pytest.mark.fault("R56")
def test_a_loss_that_is_not_finite_in_one_process_ends_both_at_that_update(data, tmp_path):
    answers = together(2, nan_in_the_second, data, tmp_path)
    assert all("At update 2 " in str(error) for error in answers)
    assert ["in another process" in str(error) for error in answers] == [True, False]
    (status,) = tmp_path.rglob("status.json")
    assert json.loads(status.read_text())["state"] == "diverged"


def nan_in_the_second(data, out):
    return losses_of("faster", data, out, 6, spoil=is_second_process_at_update_2)


def is_second_process_at_update_2(step):
    return step == 2 and share().rank == 1


@pytest.mark.slow_fault
@pytest.mark.fault("R27")
def test_images_that_one_process_cannot_read_end_both_after_a_save(data, tmp_path):
    answers = together(2, unreadable_in_the_second, data, tmp_path)
    assert "label file is gone" in str(answers[1])
    assert "Process 1 cannot read its images" in str(answers[0])
    assert [path.name for path in tmp_path.rglob("step-*.pt")] == ["step-00000002.pt"]


def unreadable_in_the_second(data, out):
    return losses_of("faster", data, out, 6, unreadable=is_second_process_at_update_2)


@pytest.mark.slow_fault
@pytest.mark.fault("R26")
def test_a_process_that_hangs_is_named(data, tmp_path):
    answers = together(2, hanging_second, data, tmp_path)
    assert isinstance(answers[0], LostProcess)
    assert re.search(r"process 1 .* was reading the images of update 2", str(answers[0]))


def hanging_second(data, out):
    def spoil(step):
        if step == 2 and share().rank == 1:
            time.sleep(20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heartbeat_module, "EVERY_S", 0.2)
        return losses_of("faster", data, out, 6, unreadable=spoil, timeout_s=5)
