"""The numbers that options take: what is refused, and that every command refuses it."""

import argparse
import importlib

import pytest

from scripts.engine.numbers import not_negative, positive, share, whole


@pytest.mark.parametrize(("least", "text"), [(0, "0"), (1, "1"), (32, "320"), (-3, "-3")])
def test_a_whole_number_from_the_least_on_is_taken(least, text):
    assert whole(least)(text) == int(text)


@pytest.mark.parametrize(("least", "text"), [(0, "-1"), (1, "0"), (1, "1.5"), (1, "x"), (1, "")])
def test_other_whole_numbers_are_refused(least, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"no whole number of at least {least}"):
        whole(least)(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "", "x", "-0.1"])
@pytest.mark.parametrize("kind", [share, not_negative, positive])
def test_a_number_that_is_none_is_refused(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no number"):
        kind(text)


def test_the_ends_of_each_kind_of_number():
    assert (share("0"), share("1"), not_negative("0"), positive("1e-9")) == (0.0, 1.0, 0.0, 1e-9)
    for kind, text in ((share, "1.01"), (positive, "0")):
        with pytest.raises(argparse.ArgumentTypeError, match="is no number"):
            kind(text)


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("train", ["own/small", "--workers", "-1"]),
        ("train", ["own/small", "--seed", "-1"]),
        ("train", ["own/small", "--epochs", "0"]),
        ("train", ["own/small", "--short-side", "8"]),
        ("train", ["own/small", "--lr", "inf"]),
        ("train", ["own/small", "--batch-size", "0"]),
        ("train", ["own/small", "--accumulate", "0"]),
        ("train", ["own/small", "--stop-after", "0"]),
        ("train", ["own/small", "--validate-every", "-1"]),
        ("evaluate", ["kl_loss/table1", "--seeds", "0"]),
        ("detect", ["a.pt", "b.jpg", "--out", "c", "--score", "nan"]),
        ("detect", ["a.pt", "b.jpg", "--out", "c", "--nms-iou", "1.5"]),
        ("detect", ["a.pt", "b.jpg", "--out", "c", "--sigma-t", "-0.1"]),
        ("score", ["a.pt", "--data", "b", "--workers", "-1"]),
        ("score", ["a.pt", "--data", "b", "--confusion-score", "nan"]),
        ("convert_weights", ["a.pkl", "--norm-eps", "-1"]),
        ("shares", ["kl_loss/vgg16_coco", "--images", "0"]),
        ("benchmark", ["kl_loss/table2", "--repeats", "0"]),
        ("save_proposals", ["kl_loss/r50_fpn_rpn", "--seed", "-1"]),
        ("submit", ["kl_rpn/table2", "kl_rpn/vgg16_voc", "--seed", "-1"]),
    ],
)
def test_every_command_names_the_option_before_it_reads_anything(command, given, capsys):
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"scripts.{command}").main(given)
    assert end.value.code == 2
    printed = capsys.readouterr().err
    option, value = given[-2:]
    assert printed.startswith(f"error: argument {option}: {value!r} is no ")
    assert len(printed.splitlines()) == 1
