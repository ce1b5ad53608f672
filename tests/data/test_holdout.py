import pytest

from data.holdout import held_back, number_of

NAMES = [f"photo {number}.jpg" for number in range(400)]


def test_about_the_fraction_is_held_back():
    assert 60 <= len(held_back(NAMES, 0.2)) <= 100  # 80, give or take 2.5 standard deviations of 8


def test_an_image_is_held_back_whatever_the_order_and_the_others():
    chosen = held_back(NAMES, 0.2)
    assert held_back(NAMES[::-1], 0.2) == chosen
    assert held_back(NAMES[:200], 0.2) == chosen & set(NAMES[:200])
    assert chosen <= held_back(NAMES, 0.3)


def test_neither_side_is_empty():
    for name in NAMES[:20]:
        assert len(held_back([name, "other.jpg"], 0.01)) == 1
        assert len(held_back([name, "other.jpg"], 0.99)) == 1


def test_a_name_means_the_same_on_macos():
    """ü is one character, or u with two dots behind it."""
    assert number_of("m\u00fcll.png") == number_of("mu\u0308ll.png") != number_of("mull.png")


def test_what_cannot_be_held_back_is_said():
    for fraction in (0, 1, -0.1):
        with pytest.raises(ValueError, match="share of images to hold back"):
            held_back(NAMES, fraction)
    with pytest.raises(ValueError, match="There are 1 images"):
        held_back(["a.jpg"], 0.5)
