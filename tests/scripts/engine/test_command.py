"""How commands end."""

import pytest
import torch

from scripts.engine.command import (
    BAD_DATA,
    ENVIRONMENT,
    STOPPED,
    WRONG_INPUT,
    DataFault,
    EnvironmentFault,
    command_parser,
    exit_code,
)


def test_ctrl_c_is_no_traceback(capsys):
    def work():
        raise KeyboardInterrupt

    assert exit_code(work) == STOPPED
    assert capsys.readouterr().err == "stopped; run the same command again to continue\n"


def test_a_wrong_option_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as end:
        command_parser("train", None).parse_args(["--nonsense"])
    assert end.value.code == WRONG_INPUT
    printed = capsys.readouterr().err
    assert printed == "error: unrecognized arguments: --nonsense; --help lists the options.\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("a."), WRONG_INPUT),
        (OSError("a."), WRONG_INPUT),
        (DataFault("a."), BAD_DATA),
        (EnvironmentFault("a."), ENVIRONMENT),
    ],
)
def test_each_kind_of_error_is_a_sentence_with_its_exit_code(error, code, capsys):
    def work():
        raise error

    assert exit_code(work) == code
    assert capsys.readouterr().err == "error: a.\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [(torch.OutOfMemoryError("full\nmore"), "full"), (MemoryError(), "MemoryError")],
)
def test_full_memory_is_a_sentence_wherever_it_happens(error, said, capsys):
    def work():
        raise error

    assert exit_code(work) == ENVIRONMENT
    assert capsys.readouterr().err.startswith(f"error: The memory is full ({said}); end what else")


def test_another_error_of_torch_keeps_its_traceback():
    def work():
        raise RuntimeError("of the network")

    with pytest.raises(RuntimeError, match="of the network"):
        exit_code(work)
