"""QUBO suppression against worked examples, brute force over all sets, a plain greedy loop, and the
laws.
"""

from dataclasses import replace

import pytest
import torch

from postprocess.pipeline import PostprocessConfig, postprocess_class
from postprocess.qubo import (
    AUTHORS_GREEDY,
    AUTHORS_TABU,
    CORRECTED,
    Qubo,
    energy,
    greedy,
    linear_terms,
    pair_terms,
    qubo_select,
    tabu_search,
)
from tests.six_boxes import SIX as BOXES
from tests.six_boxes import SIX_SCORES as SCORES

GREEDY, TABU = (
    PostprocessConfig(suppression="qubo_greedy"),
    PostprocessConfig(suppression="qubo_tabu"),
)


def search_for(count, seed=0):
    return tabu_search(count, torch.Generator().manual_seed(seed), torch.device("cpu"))


def kept_by(boxes, scores, qubo, search):
    """The kept boxes of one group, in ascending order."""
    valid = torch.ones(1, len(scores), dtype=torch.bool)
    selection = qubo_select(boxes[None], scores[None], valid, qubo=qubo, search=search)
    chosen = selection.scores[0].isfinite()
    assert selection.scores[0, chosen].equal(scores[selection.slots[0, chosen]])
    return sorted(selection.slots[0, chosen].tolist())


def every_set(count):
    """All (2^N, N) choices as 0 and 1."""
    return ((torch.arange(2**count)[:, None] >> torch.arange(count)) & 1).double()


# Energies. With self overlap only box 0 has c < 0 enough: -.6 * .9 + .4 = -.14, box 1 -.11 + .8 *
# .861575 more. Without: boxes 0, 2, 3 are -.6 * 2.05 + .8 * .312 (IoU 0-2) = -.9804; with pairs
# counted once 0, 1, 2, 3 are -.6 * 2.9 + .4 * (.861575 + .312 + .322314) = -1.141644: the
# duplicate, box 1, stays.
@pytest.mark.parametrize(
    ("qubo", "kept", "lowest"),
    [
        (AUTHORS_TABU, [0], -0.14),
        (Qubo(overlap_weight=0.40, pair_factor=2, self_overlap=False), [0, 2, 3], -0.9804),
        (Qubo(overlap_weight=0.40, pair_factor=1, self_overlap=False), [0, 1, 2, 3], -1.141644),
    ],
)
def test_tabu_on_the_worked_example(qubo, kept, lowest):
    linear, pairs = linear_terms(SCORES.double(), qubo), pair_terms(BOXES.double(), qubo)
    energies = energy(every_set(6), linear[None], pairs[None])
    assert energies.min().item() == pytest.approx(lowest, abs=1e-6)
    assert every_set(6)[energies.argmin()].nonzero()[:, 0].tolist() == kept
    assert kept_by(BOXES, SCORES, qubo, search_for(6)) == kept


def test_greedy_on_the_worked_example():
    """With self overlap box 0 has .42 - .58 * .9 = -.102, after which box 1 costs .42 - .493 + .42
    * .861575 > 0; no other has a score above .724. Without it box 3 (-.319) and box 2 (-.348 +
    .131) follow, and box 1 ends at
    -.493 + .42 * (.861575 + .322314) = +.004."""
    assert kept_by(BOXES, SCORES, AUTHORS_GREEDY, greedy) == [0]
    assert kept_by(BOXES, SCORES, replace(AUTHORS_GREEDY, self_overlap=False), greedy) == [0, 2, 3]
    boxes, scores, keep = postprocess_class(BOXES, SCORES, None, replace(GREEDY, qubo=CORRECTED))
    assert keep.tolist() == [0, 2, 3]
    assert boxes.equal(BOXES[keep])
    assert scores.equal(SCORES[keep])


def test_two_boxes_of_iou_0_8():
    """.58 * .9 = .522 against .42: kept. .42 - .58 * .85 + .42 * .8 > 0: not kept."""
    boxes, scores = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 8]]), torch.tensor([0.9, 0.85])
    assert kept_by(boxes, scores, AUTHORS_GREEDY, greedy) == [0]


def test_self_overlap_drops_boxes_below_a_score_and_a_lone_box_is_the_exception():
    """w / (1 - w) is .724138 for .42 and .666667 for .4."""
    apart = torch.tensor([[0.0, 0, 10, 10], [50.0, 0, 60, 10], [90.0, 0, 99, 10]])
    assert kept_by(apart, torch.tensor([0.725, 0.724, 0.1]), AUTHORS_GREEDY, greedy) == [0]
    assert kept_by(apart, torch.tensor([0.667, 0.666, 0.1]), AUTHORS_TABU, search_for(3)) == [0]
    assert kept_by(apart[:2], torch.tensor([0.6, 0.1]), AUTHORS_TABU, search_for(3)) == []
    lone = torch.tensor([0.06])
    for config in (GREEDY, TABU):
        assert postprocess_class(apart[:1], lone, None, config)[2].tolist() == [0]
        strict = replace(AUTHORS_GREEDY, keep_lone=False)
        assert (
            postprocess_class(apart[:1], lone, None, replace(config, qubo=strict))[2].tolist() == []
        )
        assert postprocess_class(apart[:1], lone, None, replace(config, qubo=CORRECTED))[
            2
        ].tolist() == [0]
    # The exception counts candidates: a second one below the score threshold is none.
    assert postprocess_class(apart[:2], torch.tensor([0.06, 0.04]), None, GREEDY)[2].tolist() == [0]


def random_group(count, generator):
    corner = torch.rand(count, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 20 + 40 * torch.rand(count, 2, generator=generator)], dim=1)
    return boxes, torch.rand(count, generator=generator)


def plain_greedy(scores, iou, qubo):
    """The authors' loop: sums the increment anew for each box, takes the smallest, stops at 0."""
    w, kept = qubo.overlap_weight, []
    while True:
        best = None
        for i in range(len(scores)):
            if i not in kept:
                cost = (w if qubo.self_overlap else 0) - (1 - w) * scores[i]
                cost += sum(qubo.pair_factor * w * iou[i][j] for j in kept)
                best = min(best or (cost, i), (cost, i))
        if best is None or best[0] >= 0:
            return sorted(kept)
        kept.append(best[1])


@pytest.mark.parametrize(
    "qubo", [AUTHORS_GREEDY, CORRECTED, Qubo(overlap_weight=0.2, self_overlap=False)]
)
def test_greedy_equals_the_plain_loop(qubo):
    generator = torch.Generator().manual_seed(1)
    for count in (2, 3, 7, 25):
        boxes, scores = random_group(count, generator)
        iou = pair_terms(boxes.double(), Qubo(overlap_weight=1.0)).tolist()
        assert kept_by(boxes, scores, qubo, greedy) == plain_greedy(
            scores.double().tolist(), iou, qubo
        )


@pytest.mark.parametrize(
    "qubo", [AUTHORS_TABU, CORRECTED, Qubo(overlap_weight=0.3, self_overlap=False)]
)
def test_tabu_finds_the_best_of_all_sets(qubo):
    """Also checks that nothing is lost by taking out boxes with c >= 0, which brute force does
    not.
    """
    generator = torch.Generator().manual_seed(2)
    for count in (1, 2, 3, 6, 11):
        for _ in range(6):
            boxes, scores = random_group(count, generator)
            linear, pairs = linear_terms(scores.double(), qubo), pair_terms(boxes.double(), qubo)
            chosen = torch.zeros(count, dtype=torch.float64)
            chosen[kept_by(boxes, scores, replace(qubo, keep_lone=False), search_for(count))] = 1
            lowest = energy(every_set(count), linear[None], pairs[None]).min()
            torch.testing.assert_close(energy(chosen, linear, pairs), lowest)


def test_tabu_on_any_quadratic_energy():
    """Pairs that attract and repel, problems of different size side by side; greedy misses half of
    the large ones.
    """
    generator = torch.Generator().manual_seed(3)
    sizes = torch.arange(1, 11).repeat(4)
    linear = torch.randn(40, 10, generator=generator).double()
    upper = torch.randn(40, 10, 10, generator=generator).double().triu(1)
    valid = torch.arange(10) < sizes[:, None]
    linear, pairs = linear * valid, (upper + upper.mT) * valid[:, None] * valid[..., None]
    kept = search_for(10)(linear, pairs, valid)
    assert not (kept & ~valid).any()
    lowest = energy(every_set(10)[None], linear[:, None], pairs[:, None]).amin(dim=1)
    torch.testing.assert_close(energy(kept.double(), linear, pairs), lowest)


def test_tabu_is_never_worse_than_greedy():
    generator = torch.Generator().manual_seed(4)
    for count in (30, 90):
        boxes, scores = random_group(count, generator)
        linear, pairs = (
            linear_terms(scores.double(), CORRECTED),
            pair_terms(boxes.double(), CORRECTED),
        )
        found = []
        for search in (search_for(count), greedy):
            chosen = torch.zeros(count, dtype=torch.float64)
            chosen[kept_by(boxes, scores, CORRECTED, search)] = 1
            found.append(energy(chosen, linear, pairs).item())
        assert found[0] <= found[1] < 0


@pytest.mark.parametrize("method", ["greedy", "tabu"])
def test_groups_do_not_see_each_other(method, monkeypatch):
    """Of any size, side by side, alone, or in small chunks: the same boxes; and the same again with
    the same seed.
    """
    generator = torch.Generator().manual_seed(5)
    sizes = [30, 21, 20, 7, 3, 2, 1, 1]
    boxes, scores = torch.zeros(len(sizes), 30, 4), torch.zeros(len(sizes), 30)
    for g, size in enumerate(sizes):
        boxes[g, :size], scores[g, :size] = random_group(size, generator)
    valid = torch.arange(30) < torch.tensor(sizes)[:, None]
    search = greedy if method == "greedy" else search_for(30)
    together = qubo_select(boxes, scores, valid, qubo=CORRECTED, search=search)
    for g, size in enumerate(sizes):
        alone = kept_by(
            boxes[g, :size],
            scores[g, :size],
            CORRECTED,
            greedy if method == "greedy" else search_for(size),
        )
        chosen = together.scores[g].isfinite()
        assert sorted(together.slots[g, chosen].tolist()) == alone
        assert together.scores[g, chosen].tolist() == sorted(
            scores[g, alone].tolist(), reverse=True
        )
    monkeypatch.setattr("postprocess.qubo.CHUNK", 500)
    assert qubo_select(boxes, scores, valid, qubo=CORRECTED, search=search).scores.equal(
        together.scores
    )


@pytest.mark.parametrize(
    "config", [GREEDY, TABU, replace(GREEDY, qubo=CORRECTED), replace(TABU, qubo=CORRECTED)]
)
def test_permuting_the_boxes_changes_nothing(config):
    generator = torch.Generator().manual_seed(6)
    boxes, scores = random_group(40, generator)
    order = torch.randperm(40, generator=generator)
    keep = postprocess_class(boxes, scores, None, config)[2]
    assert order[postprocess_class(boxes[order], scores[order], None, config)[2]].equal(keep)


def test_ties_keep_the_earlier_box():
    boxes, scores = BOXES[[0, 0, 0]], torch.tensor([0.8, 0.8, 0.8])
    for config in (GREEDY, TABU, replace(TABU, qubo=CORRECTED)):
        assert postprocess_class(boxes, scores, None, config)[2].tolist() == [0]


def test_boxes_without_area_overlap_nothing():
    boxes, scores = torch.tensor([[7.0, 7, 7, 7], [7.0, 7, 7, 7]]), torch.tensor([0.9, 0.8])
    for config in (GREEDY, TABU):
        assert postprocess_class(boxes, scores, None, config)[2].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("wrong", "name"),
    [({"overlap_weight": 1.5}, "overlap_weight"), ({"pair_factor": 3}, "pair_factor")],
)
def test_wrong_settings_are_named(wrong, name):
    with pytest.raises(ValueError, match=rf"Qubo\.{name} is"):
        Qubo(**{"overlap_weight": 0.4, **wrong})
