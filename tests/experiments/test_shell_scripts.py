"""Every table's train.sh and eval.sh: two lines, and the commands that they run."""

import os
import subprocess
from pathlib import Path

import pytest

from scripts.list_runs import list_commands, list_runs

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TABLES = sorted("/".join(path.parts[-3:-1]) for path in EXPERIMENTS.glob("*/*/rows.py"))
# answers for list_runs, writes down every other command
STUB = """#!/usr/bin/env bash
shift
case "$*" in
  scripts.list_runs*--commands) cat {folder}/commands ;;
  scripts.list_runs*) cat {folder}/runs ;;
  *) echo "$*" >> {folder}/log ;;
esac
"""


@pytest.fixture
def calls(tmp_path):
    """Runs a script with every command but list_runs written down instead of run."""
    stub = tmp_path / "python"
    stub.write_text(STUB.format(folder=tmp_path))
    stub.chmod(0o755)

    def run(script, **environment):
        table = str(Path(script).parent)
        (tmp_path / "runs").write_text(list_runs(table, environment.get("SCALE", "mini")) + "\n")
        (tmp_path / "commands").write_text(list_commands(table) + "\n")
        (tmp_path / "log").write_text("")
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        subprocess.run(
            [EXPERIMENTS / script],
            check=True,
            capture_output=True,
            env={**kept, "PYTHON": str(stub), "OUT": "/out", **environment},
        )
        return (tmp_path / "log").read_text().splitlines()

    return run


@pytest.mark.parametrize("name", TABLES)
def test_a_script_is_two_lines(name):
    for script, function in (("train.sh", "train_table"), ("eval.sh", "evaluate_table")):
        assert (EXPERIMENTS / name / script).read_text().splitlines() == [
            "#!/usr/bin/env bash",
            'source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"',
            f"{function} {name}",
        ]


@pytest.mark.parametrize("seeds", ["0", "-1", "x"])
def test_a_count_of_seeds_that_counts_nothing_is_refused(calls, seeds):
    with pytest.raises(subprocess.CalledProcessError) as error:
        calls("kl_loss/table1/train.sh", SEEDS=seeds)
    assert error.value.returncode == 2
    assert error.value.stderr.decode().startswith(f"error: SEEDS is '{seeds}'; give a whole number")


@pytest.mark.parametrize("length", ["0", "1.5", "4x"])
def test_a_length_that_is_no_whole_number_is_refused(calls, length):
    with pytest.raises(subprocess.CalledProcessError) as error:
        calls("kl_loss/table1/train.sh", LENGTH=length)
    assert error.value.returncode == 2
    assert error.value.stderr.decode().startswith(f"error: LENGTH is '{length}'; give a whole")


@pytest.mark.parametrize(("length", "scale"), [("1", "mini"), ("4", "mini-4x")])
def test_a_length_is_part_of_the_scale(calls, length, scale):
    for script in ("train.sh", "eval.sh"):
        lines = calls(f"kl_loss/table1/{script}", LENGTH=length)
        assert lines
        assert all(f" --scale {scale} " in line for line in lines)


def test_each_seed_trains_every_network(calls):
    common = (
        "--scale mini --out /out --device auto --workers 0 --weights auto --amp off --accumulate 1"
    )
    assert calls("kl_loss/table1/train.sh", SEEDS="2") == [
        f"scripts.train kl_loss/{run} --seed {seed} {common}"
        for seed in (0, 1)
        for run in ("vgg16_coco", "vgg16_coco_kl")
    ]


def test_vgg_cnn_m_has_weights_of_its_own(calls):
    lines = calls(
        "kl_loss/table5/train.sh", SCALE="paper", WEIGHTS="/vgg16.pth", WEIGHTS_VGGM="/vggm.pth"
    )
    assert ["/vggm.pth" in line for line in lines] == [True, True, False, False]
    assert ["/vgg16.pth" in line for line in lines] == [False, False, True, True]
    assert all(
        "/vgg16.pth" in line
        for line in calls("kl_loss/table5/train.sh", SCALE="paper", WEIGHTS="/vgg16.pth")
    )


def test_random_weights_need_no_training(calls):
    assert calls("kl_loss/table2/train.sh") == []


def test_every_command_of_a_table_is_run_in_order(calls):
    common = "--scale mini --out /out --device auto --workers 0"
    assert calls("kl_loss/figure6/eval.sh", SEEDS="3") == [
        f"scripts.evaluate kl_loss/figure6 --seeds 3 {common}",
        "scripts.report kl_loss/figure6 --scale mini --out /out",
        "scripts.figure6 kl_loss/figure6 --scale mini --out /out",
    ]
    assert calls("kl_rpn/figure3/eval.sh", PUBLISH="1") == [
        f"scripts.{command} kl_rpn/figure3 --seeds 1 {common} --publish"
        for command in ("figure3", "swap")
    ]
    assert calls("kl_loss/table2/eval.sh", RESULTS="/there") == [
        "scripts.benchmark kl_loss/table2 --scale mini --out /out --device auto",
        "scripts.report kl_loss/table2 --scale mini --out /out --results /there",
    ]
