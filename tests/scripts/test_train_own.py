"""From a folder of labeled images to a trained, validated and scored network, and further."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from data.errors import DataError
from data.mini.ambiguous import write_dataset
from experiments.own.recipe import OwnRecipe
from scripts import score, train
from scripts.engine.command import BAD_DATA
from scripts.engine.own import recipe as own_recipe
from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint
from scripts.engine.training import training
from tests.networks import change
from tests.tiny import TINY, TINY_KL, know_tiny, train_tiny

RECIPE = OwnRecipe(
    run=replace(
        TINY_KL,
        name="tiny",
        start="imagenet",
        nms_iou=0.5,
        data=replace(TINY.data, on_bad_box="skip"),
    ),
    epochs=2,
    least_updates=4,
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(own_recipe, "RECIPES", {"tiny": RECIPE})


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """8 training and 4 validation scenes, in COCO's and in VOC's layout."""
    return write_dataset(tmp_path_factory.mktemp("data") / "set", seed=0, train=8, val=4)


@pytest.fixture(scope="module")
def data(both):
    return both / "coco"


def command(data, out, *more):
    options = ["--data", str(data), "--out", str(out), "--device", "cpu"]
    weights = [] if {"--weights", "--from"} & set(more) else ["--weights", "none"]
    return train.main(["own/tiny", *options, *weights, *map(str, more)])


def folder_of(out, data="coco"):
    return out / "own" / "tiny" / data / "seed0"


def weights(path):
    return load_checkpoint(path)["model"]


def newest(out):
    return weights(newest_checkpoint(folder_of(out)))


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def lines_of(out):
    return [json.loads(line) for line in (folder_of(out) / "metrics.jsonl").read_text().split("\n") if line]  # fmt: skip  # noqa: E501


def test_a_folder_is_all_that_is_named(data, tmp_path, capsys):
    """8 images in batches of 2 are 4 updates an epoch; two epochs, validated after each."""
    assert command(data, tmp_path) == 0
    printed = capsys.readouterr().out
    assert "images: 8 to train on (train), 4 to validate on (val)" in printed
    assert "classes: 6 (brick, ball, tent, gem, ring, cross)" in printed
    assert "schedule: 8 updates of 2 images, 2 epochs of 8 images" in printed
    assert "validation after 4 updates: AP" in printed
    folder = folder_of(tmp_path)
    assert [(line["updates"], line["epoch"]) for line in lines_of(tmp_path)] == [(4, 1.0), (8, 2.0)]
    assert {"AP", "AP50", "per_class", "coverage1"} <= lines_of(tmp_path)[0].keys()
    last = load_checkpoint(folder / "last.pt")
    assert same(last["model"], newest(tmp_path))
    assert "optimizer" not in last
    assert (folder / "last.pt").stat().st_size < 0.6 * (folder / "step-00000008.pt").stat().st_size
    assert command(data, tmp_path) == 0
    assert "already trained (8 updates), nothing to do" in capsys.readouterr().out


def test_the_best_network_scores_what_its_validation_said(data, tmp_path):
    """To the last digit, by the command that scores any checkpoint."""
    assert command(data, tmp_path, "--epochs", 3) == 0
    assert score.main([str(folder_of(tmp_path)), "--data", str(data), "--device", "cpu"]) == 0
    scored = json.loads((folder_of(tmp_path) / "score-val" / "scores.json").read_text())
    best = max(lines_of(tmp_path), key=lambda line: line["AP"])
    assert scored["facts"]["updates"] == best["updates"]
    numbers = scored["scores"]
    assert numbers["per_class"] == best["per_class"]
    shared = numbers.keys() & best.keys()
    assert len(shared) > 20
    assert {name: numbers[name] for name in shared} == {name: best[name] for name in shared}


def test_validation_changes_not_a_bit_of_the_training(data, tmp_path):
    assert command(data, tmp_path / "a", "--validate-every", 0) == 0
    assert command(data, tmp_path / "b", "--validate-every", 1) == 0
    assert same(newest(tmp_path / "a"), newest(tmp_path / "b"))
    assert not (folder_of(tmp_path / "a") / "metrics.jsonl").exists()
    assert len(lines_of(tmp_path / "b")) == 8


def test_a_papers_run_is_validated_when_asked(data, tmp_path, monkeypatch):
    """Dropout and batch norms that learn go on as they would have without it."""
    run = replace(TINY, model=change(TINY.model, roi_dropout=0.5))
    know_tiny(monkeypatch, {"kl_loss/tiny": run})
    states = []
    for name, every in (("a", None), ("b", 2)):
        assert train_tiny(data, tmp_path / name, validate_every=every) == 0
        folder = tmp_path / name / "tiny" / "kl_loss" / "tiny" / "seed0"
        states.append(weights(newest_checkpoint(folder)))
        assert (folder / "metrics.jsonl").exists() == (every is not None)
        assert (folder / "best.pt").exists() == (every is not None)
    assert same(*states)


def without_objects(data, folder, images):
    """A copy of a COCO folder whose first training images have no object."""
    root = shutil.copytree(data, folder)
    file = root / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    empty = {image["id"] for image in content["images"][:images]}
    content["annotations"] = [
        line for line in content["annotations"] if line["image_id"] not in empty
    ]
    file.write_text(json.dumps(content))
    return root


def test_the_epochs_of_a_papers_run_are_of_the_images_that_it_uses(data, tmp_path, monkeypatch):
    """4 of 8 images in batches of 2 are 2 updates an epoch."""
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY})
    root = without_objects(data, tmp_path / "photos", 4)
    assert train_tiny(root, tmp_path, validate_every=2) == 0
    metrics = tmp_path / "tiny" / "kl_loss" / "tiny" / "seed0" / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [(line["updates"], line["epoch"]) for line in lines] == [(2, 1.0), (4, 2.0), (6, 3.0)]


def test_stopped_and_resumed_is_uninterrupted(data, tmp_path):
    """Without --weights: the training goes on with what it began with."""
    assert command(data, tmp_path / "a", "--augment") == 0
    assert command(data, tmp_path / "b", "--augment", "--stop-after", 5) == 0
    assert command(data, tmp_path / "b", "--augment", "--weights", "auto") == 0
    assert same(newest(tmp_path / "a"), newest(tmp_path / "b"))
    assert lines_of(tmp_path / "a") == lines_of(tmp_path / "b")
    assert same(
        weights(folder_of(tmp_path / "a") / "best.pt"),
        weights(folder_of(tmp_path / "b") / "best.pt"),
    )


def test_more_epochs_do_not_begin_anew_where_the_weights_alone_are_left(data, tmp_path, capsys):
    assert command(data, tmp_path) == 0
    (last,) = tmp_path.rglob("last.pt")
    for checkpoint in last.parent.glob("step-*.pt"):
        checkpoint.unlink()
    before = last.read_bytes()
    assert command(data, tmp_path, "--epochs", 3) == 2
    error = capsys.readouterr().err
    assert "step-*.pt are gone, so it cannot go on for longer" in error
    assert f"--from {last}" in error
    assert last.read_bytes() == before
    assert command(data, tmp_path) == 0
    assert "already trained (8 updates), nothing to do" in capsys.readouterr().out


def test_more_epochs_go_on_from_the_end(data, tmp_path, capsys):
    assert command(data, tmp_path) == 0
    assert command(data, tmp_path, "--epochs", 3) == 0
    assert "at update 8" in capsys.readouterr().out
    assert [line["updates"] for line in lines_of(tmp_path)] == [4, 8, 12]
    assert json.loads((folder_of(tmp_path) / "finished.json").read_text())["step"] == 12
    assert command(data, tmp_path, "--epochs", 2) == 2
    assert "train.iterations: 12 -> 8" in capsys.readouterr().err


def test_patience_ends_the_training(data, tmp_path, capsys):
    """With a rate of nearly 0 nothing gets better after the first validation."""
    options = ("--lr", 1e-12, "--validate-every", 1, "--patience", 2)
    assert command(data, tmp_path, *options) == 0
    assert [line["updates"] for line in lines_of(tmp_path)] == [1, 2, 3]
    assert "ended after 3 updates (early, of 8)" in capsys.readouterr().out
    assert command(data, tmp_path, *options) == 0
    assert "already trained (3 updates)" in capsys.readouterr().out


class Killed(BaseException):
    """What no except of a training catches, as kill -9."""


def killed(*_, **__):
    raise Killed


def killed_command(*arguments):
    """A ``command`` that a function which is ``killed`` ends."""
    with pytest.raises(Killed):
        command(*arguments)


def scored(patch, aps):
    """Has the next validations say these AP."""
    real, left = training.validate, iter(aps)

    def validate(*arguments):
        made = real(*arguments)
        return replace(made, scores={**made.scores, "AP": next(left)})

    patch.setattr(training, "validate", validate)


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("name", ["save_training", "write_lines", "save_weights"])
def test_best_pt_is_of_the_best_line_wherever_a_training_was_killed(
    data, tmp_path, monkeypatch, capsys, name, is_done
):
    """Before or after any file of its second validation was written; made again, it says less."""
    options = ("--validate-every", 1)
    real = getattr(training, name)

    def killed_there(*arguments, **how):
        if is_done:
            real(*arguments, **how)
        raise Killed

    with monkeypatch.context() as patch:
        scored(patch, (20.0, 30.0))
        assert command(data, tmp_path, *options, "--stop-after", 1) == 0
        patch.setattr(training, name, killed_there)
        killed_command(data, tmp_path, *options)
    scored(monkeypatch, [10.0] * 7)
    assert command(data, tmp_path, *options) == 0
    best = max(lines_of(tmp_path), key=lambda line: line["AP"])
    path = folder_of(tmp_path) / "best.pt"
    assert load_checkpoint(path)["step"] == best["updates"]
    said = f"best: AP {best['AP']:.2f} after {best['updates']} -> {path}"
    assert said in capsys.readouterr().out


def test_weights_of_the_best_validation_that_are_lost_are_said_to_be(
    data, tmp_path, monkeypatch, capsys
):
    real = training.save_weights

    def fails_at_2(path, state, progress, step):
        if step != 2:
            real(path, state, progress, step)

    monkeypatch.setattr(training, "save_weights", fails_at_2)
    scored(monkeypatch, (10.0, 20.0, *[5.0] * 6))
    assert command(data, tmp_path, "--validate-every", 1) == 0
    path = folder_of(tmp_path) / "best.pt"
    lost = f"best: AP 20.00 after 2, whose weights are lost, {path} has those after 1"
    assert lost in capsys.readouterr().out


def test_patience_that_had_ended_before_a_kill_ends_the_training(data, tmp_path, monkeypatch):
    """The last checkpoint was written, finished.json was not."""
    options = ("--lr", 1e-12, "--validate-every", 1, "--patience", 2)
    with monkeypatch.context() as patch:
        patch.setattr(training, "finish", killed)
        killed_command(data, tmp_path, *options)
    before = newest(tmp_path)
    assert command(data, tmp_path, *options) == 0
    assert [line["updates"] for line in lines_of(tmp_path)] == [1, 2, 3]
    assert json.loads((folder_of(tmp_path) / "finished.json").read_text())["step"] == 3
    assert same(newest(tmp_path), before)


def test_a_validation_that_a_fault_has_ended_is_made_when_the_training_goes_on(
    data, tmp_path, monkeypatch
):
    """The updates before it were saved."""

    def fails(*_):
        raise DataError("the images are gone")

    with monkeypatch.context() as patch:
        patch.setattr(training, "validate", fails)
        assert command(data, tmp_path) == BAD_DATA
    assert load_checkpoint(newest_checkpoint(folder_of(tmp_path)))["step"] == 4
    assert command(data, tmp_path) == 0
    assert [line["updates"] for line in lines_of(tmp_path)] == [4, 8]


def test_another_data_set_is_fine_tuned_by_class_name(data, both, tmp_path, capsys):
    """VOC's copy of the scenes has the same classes in the order of the alphabet."""
    assert command(data, tmp_path) == 0
    best = folder_of(tmp_path) / "best.pt"
    capsys.readouterr()
    voc = both / "VOCdevkit" / "VOC2007"
    assert command(voc, tmp_path, "--from", best, "--splits", "trainval:test") == 0
    printed = capsys.readouterr().out
    assert f"tensors from {best}" in printed
    assert "rows by class name: ball, brick, cross, gem, ring, tent" in printed
    assert "new: none" in printed
    tuned = folder_of(tmp_path, "VOC2007")
    assert json.loads((tuned / "run.json").read_text())["start"] == "checkpoint"
    assert command(voc, tmp_path, "--splits", "trainval:test", "--weights", "auto") == 0
    assert "already trained" in capsys.readouterr().out


def test_images_are_held_back_where_no_split_is_for_validation(data, tmp_path, capsys):
    """And scripts.score finds the same ones again."""
    root = shutil.copytree(data, tmp_path / "photos")
    for name in ("val", "val_clean"):
        (root / "annotations" / f"instances_{name}.json").unlink()
    shutil.rmtree(root / "val")
    assert command(root, tmp_path / "out") == 0
    printed = capsys.readouterr().out
    held = int(printed.partition(" to train on (train), ")[2].partition(" to validate on")[0])
    assert f"images: {8 - held} to train on" in printed
    assert "held-back) (20% of train, by the names of the images)" in printed
    folder = folder_of(tmp_path / "out", "photos")
    assert score.main([str(folder), "--data", str(root), "--device", "cpu"]) == 0
    scored = json.loads((folder / "score-held-back" / "scores.json").read_text())
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert scored["facts"]["images"] == held
    assert scored["scores"]["AP"] == max(json.loads(line)["AP"] for line in lines)


def test_other_images_under_the_same_name_are_not_gone_on_with(data, tmp_path, capsys):
    root = shutil.copytree(data, tmp_path / "a" / "photos")
    assert command(root, tmp_path / "out", "--stop-after", 1) == 0
    fewer = shutil.copytree(root, tmp_path / "b" / "photos")
    file = fewer / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    gone = content["images"].pop()["id"]
    content["annotations"] = [line for line in content["annotations"] if line["image_id"] != gone]
    file.write_text(json.dumps(content))
    assert command(fewer, tmp_path / "out") == 2
    assert "learned from 8 images, and there are 7 with other names" in capsys.readouterr().err


def test_photos_that_are_added_are_gone_on_with_if_permitted(data, tmp_path, capsys):
    """And all that the network ever learned from stay known to scripts.calibrate."""
    root = shutil.copytree(data, tmp_path / "photos")
    file = root / "annotations" / "instances_train.json"
    whole = json.loads(file.read_text())

    def show(images):
        ids = {image["id"] for image in images}
        labels = [line for line in whole["annotations"] if line["image_id"] in ids]
        file.write_text(json.dumps({**whole, "images": images, "annotations": labels}))

    show(whole["images"][:6])
    options = ("--stop-after", 1, "--validate-every", 0)
    assert command(root, tmp_path / "out", *options) == 0
    images = folder_of(tmp_path / "out", "photos") / "images.json"
    first = json.loads(images.read_text())
    show(whole["images"][1:])
    assert command(root, tmp_path / "out", *options, "--changed-data") == 0
    printed = capsys.readouterr().out
    assert "began with other image ids (6 images then, 7 now) and sizes and" in printed
    now = json.loads(images.read_text())
    assert (now["images"], len(now["digests"])) == (7, 8)
    assert set(first["digests"]) < set(now["digests"])


def test_weights_alone_cannot_be_continued(data, tmp_path, capsys):
    assert command(data, tmp_path) == 0
    last = folder_of(tmp_path) / "last.pt"
    assert command(data, tmp_path / "other", "--resume", last) == 2
    assert f"begin a new training with --from {last}" in capsys.readouterr().err


def test_a_file_to_resume_is_where_it_began(data, tmp_path):
    """The same command continues: it does not begin from the file again."""
    assert command(data, tmp_path / "a", "--stop-after", 2) == 0
    start = shutil.copy(newest_checkpoint(folder_of(tmp_path / "a")), tmp_path)
    shutil.copy(newest_checkpoint(folder_of(tmp_path / "a")).with_suffix(".json"), tmp_path)
    for _ in range(2):
        assert command(data, tmp_path / "b", "--resume", start, "--stop-after", 2) == 0
    assert newest_checkpoint(folder_of(tmp_path / "b")).name == "step-00000006.pt"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--scale", "lite"), "--scale: not for own/tiny: the recipes of own/ have one scale"),
        (("--skip-bad-boxes",), "--skip-bad-boxes: not for own/tiny"),
        (("--accumulate", 3), "--accumulate is 3; a batch of 2 images"),
        (("--backbone", "resnet9"), "backbone.name is 'resnet9'; choose one of"),
        (("--splits", "train:nowhere"), "has no split 'nowhere'; choose one of"),
        (("--annotations", "file.json"), "--annotations FILE and --images DIR belong together"),
        (("--from", "no/such.pt"), "The checkpoint no/such.pt does not exist"),
    ],
)
def test_a_users_mistakes_are_one_sentence(data, tmp_path, capsys, more, sentence):
    assert command(data, tmp_path, *more) == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert len(printed.splitlines()) == 1
    assert not tmp_path.joinpath("own").exists()


def test_hyper_parameters_are_no_options_of_a_papers_run(data, tmp_path, capsys):
    options = ["--data", str(data), "--out", str(tmp_path), "--scale", "paper", "--epochs", "3"]
    assert train.main(["kl_loss/vgg16_coco", *options]) == 2
    assert "--epochs: not for kl_loss/vgg16_coco: a paper's run" in capsys.readouterr().err
    assert train.main(["own/large", "--data", str(data), "--out", str(tmp_path)]) == 2
    assert "There is no recipe 'own/large'; choose one of own/tiny" in capsys.readouterr().err
    assert train.main(["own/tiny", "--out", str(tmp_path)]) == 2
    assert "Which images? Give their folder with --data DIR" in capsys.readouterr().err


def test_a_papers_run_is_fine_tuned_and_goes_on_without_saying_so_again(
    data, tmp_path, monkeypatch, capsys
):
    know_tiny(monkeypatch, {"kl_loss/tiny_kl": replace(TINY_KL, start="imagenet")})
    assert command(data, tmp_path) == 0
    best = folder_of(tmp_path) / "best.pt"
    options = {"run": "kl_loss/tiny_kl", "stop_after": 2}
    assert train_tiny(data, tmp_path, **options, start_from=best) == 0
    assert f"tensors from {best}" in capsys.readouterr().out
    assert train_tiny(data, tmp_path, **options) == 0
    record = tmp_path / "tiny" / "kl_loss" / "tiny_kl" / "seed0" / "run.json"
    assert json.loads(record.read_text())["start"] == "checkpoint"
    assert "step-00000002.pt at update 2" in capsys.readouterr().out


def in_yolo(coco, folder):
    """The training images of a COCO folder with YOLO's text files, in images/ and labels/."""
    content = json.loads((coco / "annotations" / "instances_train.json").read_text())
    numbers = [line["id"] for line in content["categories"]]
    shutil.copytree(coco / "train", folder / "images")
    (folder / "labels").mkdir()
    for image in content["images"]:
        lines = []
        for entry in content["annotations"]:
            if entry["image_id"] == image["id"]:
                x, y, w, h = entry["bbox"]
                shares = [(x + w / 2) / image["width"], (y + h / 2) / image["height"]]
                shares += [w / image["width"], h / image["height"]]
                lines.append(" ".join(map(str, [numbers.index(entry["category_id"]), *shares])))
        (folder / "labels" / f"{image['file_name'][:-4]}.txt").write_text("\n".join(lines))
    names = "\n".join(line["name"] for line in content["categories"])
    (folder / "classes.txt").write_text(names)
    return folder


def test_yolos_labels_are_trained_on(data, tmp_path, capsys):
    yolo = in_yolo(data, tmp_path / "photos")
    assert command(yolo, tmp_path / "out", "--stop-after", 1) == 0
    printed = capsys.readouterr().out
    assert "YOLO: " in printed
    assert "classes: 6 (brick, ball, tent, gem, ring, cross)" in printed
    assert "(held-back) (20% of " in printed


def test_a_coco_file_of_any_name_is_named(data, tmp_path, capsys):
    labels = shutil.copy(data / "annotations" / "instances_train.json", tmp_path / "my labels.json")
    options = ["--annotations", labels, "--images", str(data / "train"), "--weights", "none"]
    more = ["--out", str(tmp_path), "--device", "cpu", "--stop-after", "1"]
    assert train.main(["own/tiny", *map(str, options), *more]) == 0
    assert (folder_of(tmp_path, "my labels") / "step-00000001.pt").is_file()
    assert "(held-back) (20% of " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "expected"), [((), (None, 1.0, 0.0)), (("--augment",), ([0.8, 1.25], 0.7, 0.2))]
)
def test_sizes_windows_and_colors_vary_if_asked_for(data, tmp_path, option, expected):
    assert command(data, tmp_path, "--stop-after", 1, *option) == 0
    recorded = json.loads(folder_of(tmp_path).joinpath("run.json").read_text())
    config = recorded.get("run", recorded)["data"]
    assert (config["scale_jitter"], config["crop"], config["color"]) == expected
