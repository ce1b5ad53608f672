"""Every table's train.sh and eval.sh: two lines, and the commands that they run."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from scripts.list_runs import list_commands, list_runs
from tests.experiments.shell_scripts import EXPERIMENTS, run_script, write_program

TABLES = sorted("/".join(path.parts[-3:-1]) for path in EXPERIMENTS.glob("*/*/rows.py"))
# answers for list_runs, writes down every other command
STUB = """#!/usr/bin/env bash
shift
case "$*" in
  scripts.list_runs*--commands) cat {folder}/commands ;;
  scripts.list_runs*) cat {folder}/runs ;;
  *) echo "$*" >> {folder}/log
     [ ! -e {folder}/code ] || exit "$(cat {folder}/code)" ;;
esac
"""
TORCHRUN = "torch.distributed.run --standalone --nproc-per-node"


@pytest.fixture
def calls(tmp_path):
    """Runs a script with every command but list_runs written down instead of run."""
    stub = write_program(tmp_path / "python", STUB, folder=tmp_path)

    def run(script, **environment):
        table = str(Path(script).parent)
        (tmp_path / "runs").write_text(list_runs(table, environment.get("SCALE", "mini")) + "\n")
        (tmp_path / "commands").write_text(list_commands(table) + "\n")
        (tmp_path / "log").write_text("")
        run_script(script, stub, {"JOBS": "1", **environment}, check=True)
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
    assert error.value.stderr.startswith(f"error: SEEDS is '{seeds}'; give a whole number")


@pytest.mark.parametrize("length", ["0", "1.5", "4x"])
def test_a_length_that_is_no_whole_number_is_refused(calls, length):
    with pytest.raises(subprocess.CalledProcessError) as error:
        calls("kl_loss/table1/train.sh", LENGTH=length)
    assert error.value.returncode == 2
    assert error.value.stderr.startswith(f"error: LENGTH is '{length}'; give a whole")


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("GPUS", "0", 1),
        ("GPUS", "all", 1),
        ("RESTARTS", "-1", 0),
        ("RESTARTS", "x", 0),
        ("JOBS", "0", 1),
        ("JOBS", "2.5", 1),
    ],
)
def test_a_count_of_processes_or_restarts_that_is_none_is_refused(calls, name, value, least):
    for script in ("train.sh", "eval.sh"):
        with pytest.raises(subprocess.CalledProcessError) as error:
            calls(f"kl_loss/table1/{script}", **{name: value})
        assert error.value.returncode == 2
        sentence = f"error: {name} is '{value}'; give a whole number of at least {least}."
        assert error.value.stderr.strip() == sentence


def test_several_processes_are_started_by_torchrun_where_the_command_knows_them(calls):
    alone = [calls("kl_loss/figure6/train.sh"), calls("kl_loss/figure6/eval.sh")]
    train, evaluate = (
        calls(f"kl_loss/figure6/{script}", GPUS="2", RESTARTS="3")
        for script in ("train.sh", "eval.sh")
    )
    start = f"{TORCHRUN} 2 --max-restarts 3 -m"
    assert train == [f"{start} {line}" for line in alone[0]]
    assert evaluate == [f"{start} {alone[1][0]}", *alone[1][1:]]
    assert calls("kl_loss/figure6/train.sh", GPUS="1", RESTARTS="0") == alone[0]
    (restarted,) = calls("kl_loss/figure6/train.sh", RESTARTS="1")
    assert restarted == f"{TORCHRUN} 1 --max-restarts 1 -m {alone[0][0]}"


@pytest.mark.parametrize(("options", "processes"), [({}, 2), ({"BATCH": "6"}, 6)])
def test_no_more_processes_train_than_there_are_images_in_an_update(calls, options, processes):
    """KL Loss Table 1 learns from 2 images an update in the paper."""
    lines = calls("kl_loss/table1/train.sh", SCALE="paper", GPUS="8", **options)
    assert len(lines) == 2
    assert all(line.startswith(f"{TORCHRUN} {processes} --max-restarts 0 -m ") for line in lines)


def test_a_training_that_torchrun_ends_stops_the_script_and_says_where_to_look(calls, tmp_path):
    (tmp_path / "code").write_text("1")
    with pytest.raises(subprocess.CalledProcessError) as error:
        calls("kl_loss/table1/train.sh", GPUS="2")
    assert error.value.returncode == 1
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    said = error.value.stderr
    assert said.startswith("error: scripts.train kl_loss/vgg16_coco has ended before its end.")
    assert "status.json in the folder of the run says how it ended" in said
    (tmp_path / "code").write_text("75")
    with pytest.raises(subprocess.CalledProcessError) as error:
        calls("kl_loss/table1/train.sh")
    assert error.value.returncode == 75
    assert not error.value.stderr


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
    lines = calls("kl_loss/table5/train.sh", SCALE="paper", WEIGHTS_VGGM="none")
    assert ["--weights none " in line for line in lines] == [True, True, False, False]


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


# srun writes down its command and leaves the status that a training would
SRUN = """#!/usr/bin/env bash
echo "srun $*" >> {folder}/log
[ ! -e {folder}/next ] || cp {folder}/next "$STATUS"
exit {code}
"""
SCONTROL = """#!/usr/bin/env bash
[ "$1" = show ] && echo first && echo second
[ "$1" = show ] || echo "scontrol $*" >> {folder}/log
"""


@pytest.mark.parametrize(
    ("before", "after", "code", "again"),
    [
        (None, {"state": "preempted", "step": 5}, 1, True),
        ({"state": "preempted", "step": 5}, {"state": "preempted", "step": 9}, 1, True),
        ({"state": "preempted", "step": 5}, {"state": "done", "step": 9}, 0, False),
        ({"state": "preempted", "step": 5}, None, 1, False),
        (None, {"state": "diverged", "step": 5}, 1, False),
        (None, None, 1, False),
    ],
)
def test_a_slurm_job_goes_into_the_queue_again_only_after_a_stop(
    tmp_path, before, after, code, again
):
    """A training that is refused leaves status.json as it was, and would be refused again."""
    folder = tmp_path / "runs" / "paper" / "kl_loss" / "r50_fpn_kl" / "seed0"
    folder.mkdir(parents=True)
    for path, status in ((folder / "status.json", before), (tmp_path / "next", after)):
        if status is not None:
            path.write_text(json.dumps(status, indent=1))
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        write_program(tmp_path / name, text, folder=tmp_path, code=code)
    job = {"JOB_ID": "12345", "JOB_NODELIST": "n[1-2]", "NNODES": "2", "GPUS_ON_NODE": "8"}
    ended = subprocess.run(
        [EXPERIMENTS.parent / "docs" / "slurm.sh", "kl_loss/r50_fpn_kl", "--workers", "4"],
        check=False,
        capture_output=True,
        text=True,
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "STATUS": str(folder / "status.json"),
            "OUT": str(tmp_path / "runs"),
            **{f"SLURM_{name}": value for name, value in job.items()},
        },
    )
    assert ended.returncode == code, ended.stderr
    command, *rest = (tmp_path / "log").read_text().splitlines()
    assert (
        "--nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint first:22345" in command
    )
    assert "-m scripts.train kl_loss/r50_fpn_kl --scale paper --seed 0 --out" in command
    assert command.endswith(" --workers 4")
    assert rest == (["scontrol requeue 12345"] if again else [])
    assert ("not put into the queue again" in ended.stdout) != again
