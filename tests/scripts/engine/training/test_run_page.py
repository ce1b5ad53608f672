"""The page of a run says how it goes on."""

from scripts.engine.training.run_page import command_line, flattened, table

ARGUMENTS = ["/home/me/code/scripts/train.py", "own/small", "--data", "my photos"]


def test_the_command_is_one_that_can_be_typed():
    assert command_line(ARGUMENTS, {}) == "python -m scripts.train own/small --data 'my photos'"
    started = {"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}
    assert command_line(ARGUMENTS, started) == (
        "torchrun --nnodes 2 --nproc-per-node 4 -m scripts.train own/small --data 'my photos'"
    )
    assert command_line(["/usr/bin/mine.py", "x"], {}) == "/usr/bin/mine.py x"


def test_settings_are_a_table_of_their_full_names():
    values = {"name": "a|b", "rpn": {"kind": "rpn", "sizes": [1, 2]}}
    assert table(dict(flattened(values)))[2:] == [
        "| name | a/b |",
        "| rpn.kind | rpn |",
        "| rpn.sizes | [1, 2] |",
    ]
