"""How commands end."""

import pytest

from scripts.engine.command import (
    ENVIRONMENT,
    STOPPED,
    WRONG_INPUT,
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


def test_a_full_machine_has_its_own_exit_code(capsys):
    def work():
        raise EnvironmentFault("The memory is full.")

    assert exit_code(work) == ENVIRONMENT == 5
    assert capsys.readouterr().err == "error: The memory is full.\n"
