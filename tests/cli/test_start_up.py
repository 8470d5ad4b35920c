import gc
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from typer.main import get_command, get_command_name

from egomon.cli import RUNS
from egomon.cli.app import app, called_verb, with_only
from egomon.cli.session import collect_from_now

VERBS = [
    each.name or get_command_name(each.callback.__name__)
    for each in app.registered_commands
    if each.callback is not None
]


@pytest.fixture
def collecting() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_only_the_called_verb_is_built_and_it_is_the_same() -> None:
    assert {"live", "replay", "teach"} <= set(VERBS)
    whole = get_command(app).commands
    for verb in VERBS:
        (only,) = get_command(with_only(verb)).commands.items()
        assert only[0] == verb
        assert [p.name for p in only[1].params] == [p.name for p in whole[verb].params]


@pytest.mark.parametrize("verb", [None, "nonsense", "models"])
def test_help_a_mistake_and_a_verb_with_verbs_need_the_whole_command(verb: str | None) -> None:
    assert with_only(verb) is app


def test_the_verb_is_the_first_argument_unless_that_is_an_option() -> None:
    assert called_verb(["replay", "--speed", "1"]) == "replay"
    assert called_verb(["--help"]) is None
    assert called_verb([]) is None


def test_what_a_start_has_made_is_never_collected_again(collecting: None) -> None:
    before = gc.get_freeze_count()
    gc.disable()
    collect_from_now()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before


def test_a_run_inside_another_program_leaves_its_objects_alone(collecting: None) -> None:
    before = gc.get_freeze_count()
    collect_from_now()
    assert gc.get_freeze_count() == before


def test_verbs_that_run_a_monitor_are_verbs() -> None:
    assert set(RUNS) <= set(VERBS)


IMPORTED = """
try:
    signal.raise_signal(number)
except SystemExit as end:
    raise ImportError("initialization failed") from end
"""
DESTROYED = """
class Lock:
    def __del__(self):
        signal.raise_signal(number)
Lock()
raise AssertionError("went on")
"""


@pytest.mark.parametrize("moment", [IMPORTED, DESTROYED], ids=["in C code", "in a destructor"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_where_python_loses_its_exit(
    moment: str, number: signal.Signals, code: int
) -> None:
    program = f"""
import signal
from egomon import cli
number = {int(number)}
cli.with_only = lambda verb: lambda: exec({moment!r}, globals())
cli.main()
"""
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (child.returncode, child.stderr) == (code, "")
