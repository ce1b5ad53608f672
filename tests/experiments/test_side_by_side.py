"""JOBS: several trainings of a table at once, each after those that it needs."""

import os
import signal
import subprocess
import sys
import time

import pytest

from scripts.list_runs import list_runs
from tests.experiments.shell_scripts import EXPERIMENTS, run_script, write_program

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# a training that notes when it begins and ends; with {folder}/meet it ends only after so many have
# begun, or fails after 10 seconds; it fails as well if {folder}/fails names it
STUB = """#!/usr/bin/env bash
shift
case "$1" in
  scripts.list_runs) cat {folder}/runs; exit ;;
esac
echo "begin $2 $4 $OMP_NUM_THREADS" >> {folder}/log
echo "learns"
meet=$(cat {folder}/meet 2>/dev/null || echo 0) tenths=0
while (($(grep -c begin {folder}/log) < meet)); do
  ((tenths++ < 100)) || exit 9
  sleep 0.1
done
echo "end $2 $4" >> {folder}/log
! grep -qx "$2" {folder}/fails 2>/dev/null || exit 7
"""

# a training that answers Ctrl-C as scripts.train does: it saves, which takes a moment
INTERRUPTED = """#!{python}
import pathlib, signal, sys, time
folder = pathlib.Path("{folder}")
if sys.argv[2] == "scripts.list_runs":
    sys.exit(print((folder / "runs").read_text()))
def save(number, frame):
    time.sleep(0.5)
    (folder / ("saved" + sys.argv[3].replace("/", "-"))).touch()
    sys.exit(75)
signal.signal(signal.SIGINT, save)
(folder / ("begun" + sys.argv[3].replace("/", "-"))).touch()
time.sleep(60)
"""


@pytest.fixture
def train(tmp_path):
    """Runs the train.sh of a table: its exit code, the lines of the log, and what it printed."""
    stub = write_program(tmp_path / "python", STUB, folder=tmp_path)

    def run(table, **environment):
        scale = environment.get("SCALE", "mini")
        (tmp_path / "runs").write_text(list_runs(table, scale) + "\n")
        (tmp_path / "log").write_text("")
        done = run_script(f"{table}/train.sh", stub, environment, check=False)
        lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
        return done.returncode, lines, done.stdout + done.stderr

    return run


def test_so_many_trainings_run_at_once(train, tmp_path):
    (tmp_path / "meet").write_text("2")
    code, lines, said = train("kl_loss/table1", JOBS="2")
    assert code == 0, said
    assert [line[0] for line in lines] == ["begin", "begin", "end", "end"]
    assert said.count("[kl_loss/vgg16_coco, seed 0] learns") == 1
    assert said.count("[kl_loss/vgg16_coco_kl, seed 0] learns") == 1


def test_never_more_than_jobs_run(train):
    code, lines, said = train("kl_loss/table5", JOBS="3", SEEDS="2")
    assert code == 0, said
    running, most = 0, 0
    for line in lines:
        running += 1 if line[0] == "begin" else -1
        most = max(most, running)
    assert most <= 3
    assert sorted(line[1:3] for line in lines if line[0] == "begin") == sorted(
        [f"kl_loss/{name}", seed]
        for name in ("vggm_voc", "vggm_voc_kl", "vgg16_voc", "vgg16_voc_kl")
        for seed in "01"
    )


def test_a_network_begins_after_those_that_it_needs_have_ended(train):
    code, lines, said = train("kl_loss/table6", JOBS="4", SEEDS="2")
    assert code == 0, said
    order = [tuple(line[:3]) for line in lines]
    rounds = {
        run: int(number)
        for run, _, _, number in map(str.split, list_runs("kl_loss/table6", "mini").splitlines())
    }
    assert len(order) == 2 * 2 * len(rounds)
    for seed in "01":
        for run, number in rounds.items():
            for earlier in (name for name, other in rounds.items() if other < number):
                assert order.index(("end", earlier, seed)) < order.index(("begin", run, seed))


def test_after_a_failure_none_begins_and_its_code_is_the_scripts(train, tmp_path):
    (tmp_path / "fails").write_text("kl_loss/vggm_voc\n")
    code, lines, said = train("kl_loss/table5", JOBS="2", SEEDS="20")
    assert code == 7, said
    begun = [line for line in lines if line[0] == "begin"]
    assert len(begun) < 80
    assert len(begun) == len(lines) - len(begun)  # the one beside it was not cut off


def test_a_failure_of_the_last_one_is_the_scripts(train, tmp_path):
    (tmp_path / "fails").write_text("kl_loss/vgg16_coco_kl\n")
    assert train("kl_loss/table1", JOBS="8")[0] == 7


def test_jobs_share_the_cores_and_one_alone_has_them_all(train):
    def threads(**environment):
        return {line[3] for line in train("kl_loss/table1", **environment)[1] if len(line) == 4}

    assert threads(JOBS="2") == {str(max(1, CORES // 2))}
    assert threads(JOBS="1000") == {"1"}
    assert threads(JOBS="1") == set()  # not set
    assert threads(JOBS="2", OMP_NUM_THREADS="3") == {"3"}


@pytest.mark.skipif(CORES < 2, reason="one core trains one network at a time")
def test_mini_uses_the_cores_by_itself_and_other_scales_do_not(train):
    first = [line[0] for line in train("kl_loss/table5", SCALE="lite")[1]]
    assert first == ["begin", "end"] * 2
    assert (
        "[kl_loss/vggm_voc, seed 0] learns" in train("kl_loss/table5", LENGTH="4", SCALE="mini")[2]
    )
    assert "[" not in train("kl_loss/table5", GPUS="2")[2]


@pytest.mark.usefixtures("no_ignored_signals")
def test_after_ctrl_c_the_script_ends_when_all_have_saved(tmp_path):
    stub = write_program(tmp_path / "python", INTERRUPTED, folder=tmp_path, python=sys.executable)
    (tmp_path / "runs").write_text(list_runs("kl_loss/table1", "mini"))
    script = subprocess.Popen(
        [EXPERIMENTS / "kl_loss/table1/train.sh"],
        env={"PATH": os.environ["PATH"], "PYTHON": str(stub), "OUT": "/out", "JOBS": "2"},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.glob("begun*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(script.pid, signal.SIGINT)  # as a terminal does: all of them have it
        assert script.wait(timeout=30) == 130
    finally:
        script.kill()
    assert len(list(tmp_path.glob("saved*"))) == 2
