"""The one way in which a suite fails; unlike `assert`, it also works under `python -O`."""

from __future__ import annotations

import threading
from collections.abc import Callable


def expect(is_so: object, otherwise: str) -> None:
    """Raise unless it is so.

    Raises:
        AssertionError: with this sentence.
    """
    if not is_so:
        raise AssertionError(otherwise)


def in_thread(work: Callable[[], None], seconds: float, otherwise: str) -> None:
    """Do it in a thread of its own and wait for it; what it raises is raised here.

    Raises:
        AssertionError: with this sentence, where it takes longer.
    """
    raised: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(seconds)
    expect(not thread.is_alive(), otherwise)
    if raised:
        raise raised[0]
