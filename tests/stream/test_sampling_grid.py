from hypothesis import given
from hypothesis import strategies as st

from egomon.stream.sampling_grid import SamplingGrid


def test_every_point_takes_the_first_frame_at_or_after_it() -> None:
    grid = SamplingGrid(4.0)
    taken = [i / 30 for i in range(61) if grid.accepts(i / 30)]
    assert [round(t, 3) for t in taken] == [0.0, 0.267, 0.5, 0.767, 1.0, 1.267, 1.5, 1.767, 2.0]


def test_a_time_stamp_a_rounding_error_early_still_counts() -> None:
    grid = SamplingGrid(8.0)
    assert grid.accepts(0.0)
    assert grid.accepts(0.125 - 1e-6)
    assert not grid.accepts(0.125)


def test_after_a_hole_the_grid_goes_on_with_the_next_frame() -> None:
    grid = SamplingGrid(4.0)
    assert grid.accepts(0.0)
    assert grid.accepts(7.9)
    assert not grid.accepts(7.95)
    assert grid.accepts(8.0)


@given(
    fps=st.floats(0.5, 30),
    source_fps=st.floats(5, 120),
    offset=st.floats(0, 0.05),
)
def test_frames_taken_never_exceed_points(fps: float, source_fps: float, offset: float) -> None:
    grid = SamplingGrid(fps)
    seconds = 20
    taken = sum(grid.accepts(offset + i / source_fps) for i in range(int(seconds * source_fps)))
    assert taken <= seconds * fps + 2
    assert taken >= min(fps, source_fps) * seconds * 0.9 - 2


def test_an_hour_at_29_97_frames_a_second_stays_within_a_frame_of_the_grid() -> None:
    grid, period = SamplingGrid(8.0), 1001 / 30_000
    taken = [i * period for i in range(round(3600 / period)) if grid.accepts(i * period)]
    assert len(taken) == 3600 * 8
    assert all(-1e-3 < t - point / 8 < period for point, t in enumerate(taken))
