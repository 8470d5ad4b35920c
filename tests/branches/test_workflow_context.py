import numpy as np
import pytest

from egomon.branches.frame_sampling import gather_clip, uniform_indices
from egomon.branches.interfaces import StepGuess
from egomon.branches.workflow_context import PIECE_ROWS, WorkflowContext


def fill(context: WorkflowContext, n: int, *, start: float = 0.0, fps: float = 4.0) -> None:
    times = start + np.arange(n) / fps
    vectors = np.stack([times, -times], axis=1).astype(np.float32)
    context.append(times, vectors)


def make(max_seconds: float = 3600.0) -> WorkflowContext:
    return WorkflowContext(2, max_seconds=max_seconds, context_frames=32)


def test_the_context_never_sees_the_future() -> None:
    context = make()
    fill(context, 400)
    view = context.view(until=50.0)
    assert view.times[-1] < 50.0
    assert len(view.vectors) == 32
    assert view.times[0] == 0.0


def test_gathered_vectors_are_those_that_were_appended() -> None:
    context = make()
    fill(context, 100)
    clip = context.clip(10.0, 12.0, 32)
    assert clip.times.tolist() == [10.0 + i / 4 for i in range(8)]
    np.testing.assert_allclose(clip.vectors[:, 0], clip.times, rtol=1e-3)


def test_a_cached_gather_equals_gathering_from_the_whole_video() -> None:
    context = make()
    fill(context, 333)
    times = np.arange(333) / 4.0
    vectors = np.stack([times, -times], axis=1).astype(np.float32)
    _, whole = gather_clip(times, vectors, 0.0, 70.0, 32)
    np.testing.assert_allclose(context.view(70.0).vectors, whole, rtol=1e-3)


def test_a_reset_begins_a_new_workflow() -> None:
    context = make()
    fill(context, 100)
    context.add_step(StepGuess("s1", "open", 0.9), 1.0, 2.0)
    assert [s.step.id for s in context.view(20.0).steps] == ["s1"]
    context.reset(15.0)
    view = context.view(20.0)
    assert view.t_start == 15.0
    assert view.steps == ()
    assert len(context.view(15.0).vectors) == 0


def test_the_longest_length_slides_and_memory_stays_bounded() -> None:
    context = make(max_seconds=60.0)
    sizes = []
    for hour in range(40):
        fill(context, 400, start=hour * 100.0)
        sizes.append(context.nbytes)
    assert context.view(4000.0).t_start >= 3939.0
    assert len(context) <= 60 * 4 + 1
    assert max(sizes[10:]) - min(sizes[10:]) <= PIECE_ROWS * 2 * 2, "one piece more or less"


def test_an_hour_at_four_frames_a_second_stays_within_the_rows_that_hold_it() -> None:
    context = make(max_seconds=3600.0)
    for minute in range(180):
        fill(context, 240, start=minute * 60.0)
    pieces = 14_401 // PIECE_ROWS + 2
    assert context.nbytes <= 16_384 * 8 + pieces * PIECE_ROWS * 2 * 2
    view = context.view(10_800.0)
    assert view.times[-1] == 10_799.75
    rounded = view.times.astype(np.float16)
    assert np.array_equal(view.vectors, np.stack([rounded, -rounded], axis=1)), "each its own"


def test_a_span_without_frames_gives_the_last_frame_before_it() -> None:
    context = make()
    fill(context, 10)
    assert context.clip(1.05, 1.1, 8).times.tolist() == [1.0]
    assert make().clip(0.0, 1.0, 8).vectors.shape == (0, 2)


def test_time_must_go_forward() -> None:
    context = make()
    fill(context, 3)
    with pytest.raises(ValueError, match="not after"):
        fill(context, 1)


@pytest.mark.parametrize(("n", "count"), [(0, 4), (1, 4), (4, 4), (5, 4), (3000, 32)])
def test_uniform_indices_are_distinct_sorted_and_keep_the_ends(n: int, count: int) -> None:
    found = uniform_indices(n, count)
    assert len(found) == min(n, count)
    assert (np.diff(found) > 0).all()
    if n > 1:
        assert (found[0], found[-1]) == (0, n - 1)
