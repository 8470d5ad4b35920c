from __future__ import annotations

import numpy as np
import pytest

from egomon.train.teach.one_class.workflows import agree, group_recordings

USUAL = (0, 1, 2, 3, 4, 5)
SWAPPED = (0, 2, 1, 3, 4, 5)


def put_right(*orders: tuple[int, ...]) -> list[tuple[int, ...]]:
    found = agree([np.array(of) for of in orders], np.zeros(len(orders), np.int64))
    return [tuple(of.tolist()) for of in found]


@pytest.mark.parametrize(
    ("seen", "meant"),
    [
        ((0, 1, 2, 9, 4, 5), USUAL),
        ((0, 1, 2, 0, 4, 5), USUAL),
        ((0, 2, 1, 2, 4, 5), SWAPPED),
        ((0, 1, 9, 3, 1, 5), USUAL),
    ],
    ids=["a step of no other recording", "first again", "second again", "two at once"],
)
def test_a_wrong_recognition_is_put_right_by_the_other_recordings(
    seen: tuple[int, ...], meant: tuple[int, ...]
) -> None:
    others = (USUAL, USUAL, SWAPPED, USUAL)

    assert put_right(seen, *others) == [meant, *others]


def test_a_step_that_may_come_twice_and_one_that_may_be_left_out_stay_so() -> None:
    often = ((0, 1, 1, 2), (0, 1, 1, 3), (0, 1, 1, 2), (0, 2, 3), (0, 1, 2, 3))
    shorter = (USUAL, USUAL, USUAL, (0, 1, 2, 4, 5))

    assert put_right(*often) == list(often)
    assert put_right(*shorter) == list(shorter)


def test_two_recordings_are_too_few_to_overrule_one() -> None:
    assert put_right(USUAL, (0, 1, 2, 0, 4, 5)) == [USUAL, (0, 1, 2, 0, 4, 5)]


def test_recordings_of_two_workflows_are_told_apart() -> None:
    other = (6, 7, 8, 0, 9)
    orders = [np.array(of) for of in (USUAL, other, SWAPPED, other, USUAL)]

    assert group_recordings(orders).tolist() == [0, 1, 0, 1, 0]
