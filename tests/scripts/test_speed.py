"""The benchmark on work that costs nothing; no test here depends on how long anything takes."""

import json

import pytest
import torch

from scripts import speed
from scripts.engine.speed.floor import count_flops, matrix_rate
from scripts.engine.speed.measure import growth, line, measure
from scripts.engine.speed.peak_memory import peak_megabytes
from scripts.engine.speed.work import Measured, Work
from scripts.engine.timing import Times

CPU = torch.device("cpu")


def measured(size, ours, peer=None):
    def quartiles(median):
        return Times(q1=median, median=median, q3=median)

    return Measured(
        part="part",
        name="work",
        grows="boxes",
        size=size,
        ours=quartiles(ours),
        peer_name="peer",
        peer=None if peer is None else quartiles(peer),
        floor_ms=ours / 4,
        ours_mb=1.0,
        peer_mb=None,
    )


def test_ratios_are_of_medians():
    one = measured(10, 2.0, 5.0)
    assert one.speedup == 2.5
    assert one.share_of_floor == 0.25
    assert "2.50 x" in line(one)
    assert "25%" in line(one)
    assert measured(10, 2.0).speedup is None


@pytest.mark.parametrize("exponent", [0, 1, 2])
def test_growth_is_the_exponent_of_the_size(exponent):
    sweep = [measured(size, 3 * size**exponent, 7 * size) for size in (1, 10, 100, 1000)]
    fit = growth(sweep)
    assert fit["exponent"] == pytest.approx(exponent)
    assert fit["peer_exponent"] == pytest.approx(1)


def test_flops_of_a_matrix_product_and_its_gradient():
    left, right = torch.ones(3, 4, requires_grad=True), torch.ones(4, 5)
    assert count_flops(lambda: left @ right) == 2 * 3 * 4 * 5
    assert count_flops(lambda: (left @ right).sum().backward()) == 2 * 2 * 3 * 4 * 5
    assert matrix_rate(CPU) > 0


def test_peak_memory_is_that_of_the_call():
    peak = peak_megabytes(lambda: torch.ones(64 * 2**18), CPU)  # 64 MB
    assert peak is None or 60 < peak < 90


def test_a_benchmark_is_printed_written_and_drawn(tmp_path, monkeypatch, capsys):
    def works(device):
        for size in (10, 20):
            numbers = torch.ones(size)
            yield Work(
                part="sums",
                name="a sum",
                grows="numbers",
                size=size,
                ours=numbers.sum,
                peer_name="Python",
                peer=lambda n=numbers: sum(n.tolist()),
                flops=size,
            )

    monkeypatch.setattr(speed, "PARTS", {"sums": works})
    monkeypatch.setattr(speed, "matrix_rate", lambda device: 1e9)
    assert speed.main(["--device", "cpu", "--repeats", "2", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "a sum, 20 numbers" in printed
    assert "time ~ numbers ^" in printed
    (path,) = tmp_path.glob("cpu_*.json")
    written = json.loads(path.read_text())
    assert [one["size"] for one in written["measurements"]] == [10, 20]
    assert written["measurements"][0]["floor_ms"] == pytest.approx(1e-5)
    assert written["growth"][0]["name"] == "a sum"
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_memory_is_read_for_both_sides():
    work = Work(part="p", name="n", grows="g", size=1, ours=lambda: 1, peer=lambda: 2)
    one = measure(work, 1, CPU, 1.0)
    assert (one.ours_mb is None) == (one.peer_mb is None)
