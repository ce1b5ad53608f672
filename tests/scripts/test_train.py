"""The training loop on twelve small scenes: stopping and resuming changes nothing, and bad input is
said, not hidden.
"""

import json
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from models.detector import Detector
from scripts.engine.command import ENVIRONMENT, STOPPED, LostProcess
from scripts.engine.files import sha256
from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from scripts.engine.training import training as module
from scripts.train import DIVERGED, main
from tests.networks import change
from tests.tiny import (
    TINY,
    TINY_KL,
    TINY_KLRPN,
    know_tiny,
    tiny_options,
)
from tests.tiny import train_tiny as train


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    runs = {"kl_loss/tiny": TINY, "kl_loss/tiny_kl": TINY_KL, "kl_loss/tiny_klrpn": TINY_KLRPN}
    know_tiny(monkeypatch, runs)
    return runs


def folder_of(out, name="tiny", seed=0):
    return out / "tiny" / "kl_loss" / name / f"seed{seed}"


def final(out, name="tiny"):
    return load_checkpoint(newest_checkpoint(folder_of(out, name)))


def equal(first, second):
    """Bitwise equality of nested states."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            equal(first[key], second[key]) for key in first
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


@pytest.mark.fault("R11", "R13")
@pytest.mark.parametrize(
    ("name", "accumulate"),
    [
        pytest.param("tiny_kl", 1, marks=pytest.mark.slow_fault),
        ("tiny_kl", 2),
        ("tiny_klrpn", 1),
    ],
)
def test_stopped_and_resumed_is_uninterrupted_bit_by_bit(data, tmp_path, name, accumulate):
    """The last one: R-FCN with KL-RPN, batch norms that learn, Adam, several image sizes."""
    how = {"run": f"kl_loss/{name}", "accumulate": accumulate}
    assert train(data, tmp_path / "a", **how) == 0
    for stop in (1, 3, None):  # updates in each part
        assert train(data, tmp_path / "b", stop_after=stop, **how) == 0
    whole, parts = final(tmp_path / "a", name), final(tmp_path / "b", name)
    assert whole["step"] == parts["step"] == 6
    assert equal(whole["model"], parts["model"])
    assert equal(whole["optimizer"], parts["optimizer"])


def test_another_seed_is_another_network(data, tmp_path):
    for seed in (0, 1):
        train(data, tmp_path, seed=seed, stop_after=1)
    states = [
        load_checkpoint(newest_checkpoint(folder_of(tmp_path, seed=seed)))["model"]
        for seed in (0, 1)
    ]
    assert not equal(*states)


@pytest.mark.fault("R18")
def test_what_a_finished_run_leaves(data, tmp_path, capsys):
    assert train(data, tmp_path) == 0
    folder = folder_of(tmp_path)
    finished = json.loads((folder / "finished.json").read_text())
    assert finished["step"] == 6
    assert finished["skipped_images"] == 0
    assert finished["skipped_updates"] == 0
    assert finished["settings"] == {
        "start": "scratch",
        "pixels": "torchvision",
        "batch_size": 2,
        "updates": 6,
        "precision": "float32",
    }
    assert json.loads((folder / "run.json").read_text())["name"] == "tiny"
    assert list((folder / "tensorboard").glob("events*"))
    assert final(tmp_path)["classes"] == ["brick", "ball", "tent", "gem", "ring", "cross"]
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    capsys.readouterr()
    assert train(data, tmp_path) == 0
    assert "already trained (6 updates), nothing to do" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_the_loss_falls(data, tmp_path, tiny, monkeypatch):
    tiny["kl_loss/tiny"] = replace(
        TINY,
        model=change(TINY.model, roi_dropout=0.0),
        train=replace(
            TINY.train, iterations=30, lr=2e-3, lr_drops=(), optimizer="adamw", bias_lr_factor=1.0
        ),
    )
    totals, real = [], module.update

    def recorded(*args, **how):
        losses, statistics = real(*args, **how)
        totals.append(sum(losses.values()))
        return losses, statistics

    monkeypatch.setattr(module, "update", recorded)
    train(data, tmp_path)
    assert sum(totals[-5:]) < 0.8 * sum(totals[:5])


@pytest.mark.fault("R17")
def test_another_configuration_is_not_resumed(data, tmp_path, tiny):
    train(data, tmp_path, stop_after=2)
    tiny["kl_loss/tiny"] = replace(TINY, train=replace(TINY.train, lr=0.5))
    with pytest.raises(ValueError, match=r"another configuration \(train\.lr: 0\.001 -> 0\.5\)"):
        train(data, tmp_path)


def test_starting_over_in_a_used_folder_is_refused(data, tmp_path):
    """New checkpoints would be older than the ones that are there."""
    train(data, tmp_path, stop_after=2)
    with pytest.raises(
        ValueError, match=r"--resume none: .* holds checkpoints of an earlier training"
    ):
        train(data, tmp_path, resume="none")
    assert train(data, tmp_path / "other", resume="none", stop_after=1) == 0


@pytest.mark.fault("R05")
@pytest.mark.slow_fault
def test_a_damaged_checkpoint_costs_the_updates_since_the_one_before(data, tmp_path, capsys):
    train(data, tmp_path / "a")
    for _ in range(2):
        train(data, tmp_path / "b", stop_after=2)
    newest = newest_checkpoint(folder_of(tmp_path / "b"))
    newest.write_bytes(newest.read_bytes()[:1000])
    capsys.readouterr()
    train(data, tmp_path / "b")
    printed = capsys.readouterr().out
    assert f"{newest} is incomplete or damaged" in printed
    assert "step-00000002.pt at update 2" in printed
    assert equal(final(tmp_path / "a")["model"], final(tmp_path / "b")["model"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_update_and_saves(data, tmp_path, monkeypatch, number):
    real = module.update

    def interrupted(*args, step, **how):
        if step == 2:
            os.kill(os.getpid(), number)
        return real(*args, step=step, **how)

    monkeypatch.setattr(module, "update", interrupted)
    assert train(data, tmp_path) == STOPPED
    assert final(tmp_path)["step"] == 3
    assert not (folder_of(tmp_path) / "finished.json").exists()


def with_truncated_image(data, folder):
    """A copy of a data set, one image of which cannot be read: once in an epoch of 6 updates."""
    root = shutil.copytree(data, folder)
    broken = root / "train" / "000003.jpg"
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    return root


def test_images_that_cannot_be_read_are_counted_over_all_parts_of_a_training(
    data, tmp_path, monkeypatch
):
    """Each part makes one update and fails at the next, whose images it has read."""
    root = with_truncated_image(data, tmp_path / "data")
    real, failing = module.update, []

    def failing_at(*args, step, **how):
        if step in failing:
            raise LostProcess("process 1 is gone")
        return real(*args, step=step, **how)

    monkeypatch.setattr(module, "update", failing_at)
    for step in range(1, 6):
        failing[:] = [step]
        with pytest.raises(LostProcess):
            train(root, tmp_path / "out")
        assert final(tmp_path / "out")["step"] == step
    failing.clear()
    assert train(root, tmp_path / "out") == 0
    finished = json.loads((folder_of(tmp_path / "out") / "finished.json").read_text())
    assert finished["skipped_images"] == final(tmp_path / "out")["skipped_images"] == 1


def test_a_checkpoint_that_has_not_counted_unreadable_images_goes_on_with_none(data, tmp_path):
    train(data, tmp_path, stop_after=5)
    state = final(tmp_path)
    del state["skipped_images"]
    save_checkpoint(folder_of(tmp_path), 5, state)
    assert train(data, tmp_path) == 0
    assert final(tmp_path)["skipped_images"] == 0


@pytest.mark.fault("R33")
def test_a_truncated_image_is_left_out_named_and_counted(data, tmp_path, capsys):
    root = with_truncated_image(data, tmp_path / "data")
    assert train(root, tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "skipped image 1: " in printed
    assert "000003.jpg" in printed
    assert (
        json.loads((folder_of(tmp_path / "out") / "finished.json").read_text())["skipped_images"]
        == 1
    )


def command(data, out, *more):
    return main(["kl_loss/tiny", *tiny_options(data, out), *more])


def test_divergence_has_its_own_exit_code_and_keeps_the_last_weights(data, tmp_path, tiny, capsys):
    tiny["kl_loss/tiny"] = replace(TINY, train=replace(TINY.train, lr=1e30, warmup_iterations=0))
    assert command(data, tmp_path) == DIVERGED
    assert "error: At update 1 " in capsys.readouterr().err
    assert newest_checkpoint(folder_of(tmp_path)) is None


def test_two_deterministic_trainings_are_equal_bit_by_bit(data, tmp_path, monkeypatch):
    used = []
    real = module.train_updates
    monkeypatch.setattr(
        module,
        "train_updates",
        lambda *how: used.append(torch.are_deterministic_algorithms_enabled()) or real(*how),
    )
    for out in ("a", "b"):
        for run in ("tiny_kl", "tiny_klrpn"):
            options = [*tiny_options(data, tmp_path / out), "--deterministic"]
            assert main([f"kl_loss/{run}", *options]) == 0
    for run in ("tiny_kl", "tiny_klrpn"):
        first, second = (final(tmp_path / out, run) for out in ("a", "b"))
        assert equal(first["model"], second["model"])
        assert equal(first["optimizer"], second["optimizer"])
    assert used == [True] * 4
    assert not torch.are_deterministic_algorithms_enabled()


def allow_images(monkeypatch, most):
    """Lets an update pass ``most`` images at a time through the network."""
    real = Detector.losses

    def losses(self, batch, statistics=None):
        if len(batch.images) > most:
            raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB")
        return real(self, batch, statistics)

    monkeypatch.setattr(Detector, "losses", losses)


def test_an_update_without_memory_ends_the_training_with_a_sentence(
    data, tmp_path, monkeypatch, capsys
):
    allow_images(monkeypatch, 1)
    assert command(data, tmp_path) == ENVIRONMENT
    printed = capsys.readouterr().err
    assert printed.startswith("error: Update 0 does not fit into the memory of cpu with 2 images")
    assert len(printed.splitlines()) == 1
    assert "--accumulate 2" in printed


def test_auto_accumulate_trains_as_accumulate_does(data, tmp_path, monkeypatch, capsys):
    """Also when it is continued where everything fits."""
    assert train(data, tmp_path / "a", accumulate=2) == 0
    with monkeypatch.context() as patch:
        allow_images(patch, 1)
        assert command(data, tmp_path / "b", "--auto-accumulate", "--stop-after", "2") == 0
    assert capsys.readouterr().out.count("(--auto-accumulate)") == 1
    assert command(data, tmp_path / "b", "--auto-accumulate") == 0
    assert equal(final(tmp_path / "a")["model"], final(tmp_path / "b")["model"])


@pytest.mark.fault("R08")
@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            ("--accumulate", "3"),
            "--accumulate is 3; a batch of 2 images can be split into 1 to 2 forward passes",
        ),
        (("--splits", "train"), "--splits 'train' is not of the form TRAIN:TEST"),
        (("--splits", "nowhere:val"), "nowhere"),
        (("--resume", "no/such.pt"), "The checkpoint no/such.pt does not exist"),
        (("--data-root", "no/such/folder"), "The data folder no/such/folder does not exist"),
    ],
)
def test_the_users_mistakes_are_one_sentence(data, tmp_path, capsys, more, sentence):
    assert command(data, tmp_path, *more) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert sentence in printed
    assert "Traceback" not in printed


def test_a_smaller_batch_scales_the_recipe(data, tmp_path, capsys):
    assert command(data, tmp_path, "--batch-size", "1", "--stop-after", "1") == 0
    assert (
        "linear scaling: batch 2 -> 1, lr 0.001 -> 0.0005, 6 -> 12 updates"
        in capsys.readouterr().out
    )
    assert final(tmp_path)["run"]["train"]["lr_drops"] == [8]


def test_the_network_predicts_the_classes_of_the_data(data, tmp_path, tiny, capsys):
    tiny["kl_loss/tiny"] = replace(TINY, model=replace(TINY.model, num_classes=20))
    train(data, tmp_path, stop_after=1)
    assert "the run has 20, the data set 6" in capsys.readouterr().out
    assert final(tmp_path)["model"]["roi.head.predictor.class_logits.weight"].shape[0] == 7


def renamed_classes(data, folder):
    """The data set with other names for its classes, in the same order."""
    root = shutil.copytree(data, folder)
    for path in root.glob("annotations/*.json"):
        document = json.loads(path.read_text())
        document["categories"] = [
            {**line, "name": line["name"].upper()} for line in document["categories"]
        ]
        path.write_text(json.dumps(document))
    return root


@pytest.mark.fault("R46")
def test_other_names_of_the_classes_are_not_resumed(data, tmp_path, capsys):
    """The network would go on with boxes whose classes mean something else."""
    train(data, tmp_path / "out", stop_after=2)
    other = renamed_classes(data, tmp_path / "data")
    assert command(other, tmp_path / "out") == 2
    printed = capsys.readouterr().err
    assert (
        "was trained on 6 classes (brick, ball, tent, gem, ring, ...), the data set has 6 (BRICK"
        in printed
    )
    assert "continue on data with the same classes in the same order" in printed
    assert final(tmp_path / "out")["step"] == 2


@pytest.mark.parametrize("noted", [True, False])
def test_a_finished_run_of_other_class_names_is_not_taken_for_this_one(
    data, tmp_path, capsys, noted
):
    """finished.json has the names; what an older training left has them in its checkpoint."""
    train(data, tmp_path / "out")
    finished = folder_of(tmp_path / "out") / "finished.json"
    facts = json.loads(finished.read_text())
    assert facts["classes"][:2] == ["brick", "ball"]
    if not noted:
        del facts["classes"]
        finished.write_text(json.dumps(facts))
    assert command(renamed_classes(data, tmp_path / "data"), tmp_path / "out") == 2
    assert "class 1 is brick there and BRICK here" in capsys.readouterr().err


@pytest.mark.fault("R46")
def test_a_start_from_a_network_goes_by_the_names_of_the_classes(data, tmp_path, tiny, capsys):
    train(data, tmp_path / "out")
    tiny["kl_loss/tiny_kl"] = replace(TINY_KL, start="tiny")
    other = renamed_classes(data, tmp_path / "data")
    train(other, tmp_path / "out", run="kl_loss/tiny_kl", stop_after=1)
    assert "rows by class name" not in capsys.readouterr().out  # BRICK is brick


def test_images_that_are_not_used_are_counted(data, tmp_path, capsys):
    root = shutil.copytree(data, tmp_path / "data")
    path = root / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    without = {image["id"] for image in document["images"][:5]}
    document["annotations"] = [
        entry for entry in document["annotations"] if entry["image_id"] not in without
    ]
    path.write_text(json.dumps(document))
    train(root, tmp_path / "out", stop_after=1)
    assert (
        "data: 7 of 12 training images, the other 5 are without objects and not used, 6 classes"
        in capsys.readouterr().out
    )


def test_converted_weights_only_guess_their_class_names(data, tmp_path):
    """They have made no update of ours: a first training takes the names of its data."""
    train(data, tmp_path / "a", stop_after=1)
    converted = final(tmp_path / "a") | {"step": 0, "classes": ["class 1"] * 6}
    start = save_checkpoint(tmp_path / "start", 0, converted)
    assert train(data, tmp_path / "b", resume=str(start), stop_after=1) == 0
    assert final(tmp_path / "b")["classes"][0] == "brick"


def of_an_earlier_version(folder):
    """Makes the newest checkpoint one without a format, as commit 87e4cc2 wrote them."""
    path = newest_checkpoint(folder)
    state = load_checkpoint(path)
    del state["format"]
    torch.save(state, path)
    path.with_suffix(".json").write_text(
        json.dumps({"step": state["step"], "sha256": sha256(path)})
    )


@pytest.mark.parametrize("stop_after", [2, None])
def test_a_training_of_an_earlier_version_is_not_continued(data, tmp_path, capsys, stop_after):
    """Whether it was finished or not."""
    train(data, tmp_path, stop_after=stop_after)
    of_an_earlier_version(folder_of(tmp_path))
    assert command(data, tmp_path) == 2
    printed = capsys.readouterr().err
    assert "written by an earlier version of this code, whose network had other parts" in printed
    assert "git commit 87e4cc2 for format 1" in printed
    assert len(printed.splitlines()) == 1
