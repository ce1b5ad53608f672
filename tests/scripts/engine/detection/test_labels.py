"""Labels of boxes never hide each other."""

import random
from itertools import combinations

from scripts.engine.detection.labels import overlap, place_labels

SIZE = (60.0, 15.0)
PICTURE = (400.0, 300.0)


def test_a_label_stands_above_its_box_and_below_it_where_that_is_taken():
    box = [100, 100, 200, 200]
    assert place_labels([box], [SIZE], PICTURE) == [(100, 85, 160, 100)]
    several = place_labels([box] * 3, [SIZE] * 3, PICTURE)
    assert several[1] == (100, 200, 160, 215)
    assert several[2] == (100, 100, 160, 115)


def test_a_label_of_a_box_at_the_edge_stays_in_the_picture():
    assert place_labels([[380, 2, 400, 30]], [SIZE], PICTURE) == [(340, 0, 400, 15)]


def test_a_label_without_room_is_left_out_and_those_of_better_boxes_stay():
    placed = place_labels([[100, 100, 170, 200]] * 9, [SIZE] * 9, PICTURE)
    assert placed[0] is not None
    assert placed[-1] is None


def test_no_two_labels_overlap():
    draw = random.Random(0)
    corners = [(draw.uniform(0, 380), draw.uniform(0, 280)) for _ in range(60)]
    boxes = [[x, y, x + draw.uniform(5, 200), y + draw.uniform(5, 200)] for x, y in corners]
    placed = [place for place in place_labels(boxes, [SIZE] * 60, PICTURE) if place]
    assert 20 < len(placed) < 60
    assert not any(overlap(first, second) for first, second in combinations(placed, 2))
