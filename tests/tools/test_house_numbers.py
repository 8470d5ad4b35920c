"""The table of `make check`: each figure on a tree of a few files, counted by hand here."""

import subprocess
from pathlib import Path

import pytest
from tools.house_numbers import Figure, main, measure, table

FILES = {
    "src/egomon/__init__.py": '"""The package."""\n',
    "src/egomon/face.py": "from egomon.stream.a import A\n",
    "src/egomon/page/app.js": "start();\nstop();\n",
    "stream/__init__.py": "",
    "stream/a.py": '"""Doc\nof two lines."""\n\nimport math\n\n# why\nA = math.pi  # and why\n',
    "train/fit.py": "X = 1\nY = 2\n\ndef fit():\n    '''Doc.'''\n    return (\n        X\n    )\n",
    "tests/train/test_fit.py": "# a test\nassert 1\nassert 2\nassert 3\n",
    "tests/test_all.py": "assert 4\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        write(tmp_path, name, text)
    for link in ("stream", "train"):
        (tmp_path / "src/egomon" / link).symlink_to(f"../../{link}")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, timeout=60)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if (root / ".git").is_dir():
        git(root, "add", name)


def values(root: Path) -> dict[str, float]:
    return {figure.name: figure.value for figure in measure(root)}


def test_lines_ratios_and_folders_are_counted_without_docstrings_and_links(tree):
    write(tree, "untracked.py", "x = 1\n" * 500)
    git(tree, "rm", "-q", "--cached", "untracked.py")
    assert values(tree) == {
        "module lines, median": 1,  # of 0, 1, 1, 7, 8
        "module lines, max": 8,
        "script lines, max": 2,
        "modules in import cycles": 0,
        "test lines per code line": pytest.approx(4 / 9),
        "the same for train": pytest.approx(3 / 6),
        "files in the flattest folder": 2,
        "lines that give reasons, %": pytest.approx(100 * 2 / 17),
    }


def test_a_string_below_a_constant_gives_a_reason_and_one_below_a_field_does_not(tree):
    before = values(tree)["lines that give reasons, %"]
    assert before == pytest.approx(100 * 2 / 17)
    write(tree, "stream/b.py", 'B = 1\n"""Because\nof A."""\n')
    assert values(tree)["lines that give reasons, %"] == pytest.approx(100 * 4 / 20)
    write(tree, "stream/b.py", 'class B:\n    x: int\n    """Pixels."""\n')
    assert values(tree)["lines that give reasons, %"] == pytest.approx(100 * 2 / 20)
    write(tree, "stream/b.py", "def f():\n    pass\n'no constant'\n")
    assert values(tree)["lines that give reasons, %"] == pytest.approx(100 * 2 / 20)


def test_modules_that_import_each_other_when_loaded_are_a_cycle_and_break_the_check(tree, capsys):
    assert main([str(tree)]) == 0
    write(tree, "stream/a.py", "from . import b\n")
    write(tree, "stream/b.py", "from egomon.stream.a import A\n")
    assert values(tree)["modules in import cycles"] == 2
    assert main([str(tree)]) == 1
    assert "modules in import cycles             2   aim 0  BROKEN" in capsys.readouterr().out


def test_imports_of_a_function_or_of_the_type_checker_alone_make_no_cycle(tree):
    write(tree, "stream/a.py", "def f():\n    from egomon.stream import b\n")
    write(
        tree,
        "stream/b.py",
        "from typing import TYPE_CHECKING\nimport egomon.stream.a\n"
        "if TYPE_CHECKING:\n    import egomon.stream.c\n",
    )
    write(tree, "stream/c.py", "import egomon.stream.b\n")
    assert values(tree)["modules in import cycles"] == 0


def test_a_package_that_gathers_its_modules_is_no_cycle_but_its_names_are(tree):
    write(tree, "stream/__init__.py", "from egomon.stream.a import A\n")
    write(tree, "stream/a.py", "from egomon.stream import b\nA = 1\n")
    write(tree, "stream/b.py", "B = 1\n")
    assert values(tree)["modules in import cycles"] == 0
    write(tree, "stream/b.py", "from egomon.stream import A\n")
    assert values(tree)["modules in import cycles"] == 3


def test_a_module_of_more_than_300_lines_breaks_the_check(tree):
    write(tree, "train/fit.py", "x = 1\n" * 300)
    assert main([str(tree)]) == 0
    write(tree, "train/fit.py", "x = 1\n" * 301)
    assert main([str(tree)]) == 1


def test_a_missed_aim_that_is_not_hard_is_only_said():
    assert table([Figure("tests", 0.5, ">= .9", met=False)]).endswith("0.50   aim >= .9  missed")
