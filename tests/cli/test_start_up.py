import gc
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from egomon.cli import RUNS
from egomon.cli.app import VERBS, app, called_verb
from egomon.cli.options import verbs_of
from egomon.cli.session import collect_from_now


@pytest.fixture
def collecting() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_where_the_command_looks_for_it(verb: str) -> None:
    assert verbs_of(app)[verb].name == verb


def test_a_verb_that_is_none_is_told_with_those_that_look_like_it() -> None:
    told = CliRunner().invoke(app, ["liv"])
    assert told.exit_code == 2
    assert "No such command 'liv'." in told.stderr
    assert "'live'" in told.stderr


def test_help_lists_verbs_as_they_are_written_with_their_whole_sentence() -> None:
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    assert re.findall(r"^  ([a-z-]+)  ", told.partition("Commands:")[2], re.M) == list(VERBS)
    assert "the same file gives the same alerts." in " ".join(told.split())
    told = CliRunner().invoke(app, ["alerts", "--help"]).stdout
    assert told.index(" list ") < told.index(" show ") < told.index(" ack ")


def test_only_the_module_of_the_called_verb_is_imported() -> None:
    program = """
import sys
from egomon.cli.app import app
app(["keygen", "--help"], standalone_mode=False)
print(*(name for name in sys.modules if name.startswith("egomon.cli.verbs.")))
"""
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert child.stdout.splitlines()[-1] == "egomon.cli.verbs.store"


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
cli.app = lambda: exec({moment!r}, globals())
cli.main()
"""
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (child.returncode, child.stderr) == (code, "")
