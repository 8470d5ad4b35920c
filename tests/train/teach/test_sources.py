from __future__ import annotations

from pathlib import Path

import pytest

from egomon.errors import UsageError
from egomon.train.teach.sources import Demonstration, find_demonstrations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("washing/1.mp4", "washing/2.MP4", "washing/notes.txt", "cooking/3.mkv"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_several_folders_are_a_workflow_each_and_one_folder_is_its_recordings(
    folder: Path,
) -> None:
    washing, cooking = folder / "washing", folder / "cooking"
    assert find_demonstrations([washing, cooking]) == [
        Demonstration(washing / "1.mp4", "washing"),
        Demonstration(washing / "2.MP4", "washing"),
        Demonstration(cooking / "3.mkv", "cooking"),
    ]
    assert {d.workflow for d in find_demonstrations([washing])} == {""}
    assert find_demonstrations([washing / "1.mp4"]) == [Demonstration(washing / "1.mp4")]


def test_a_folder_is_added_to_the_workflow_of_its_name(folder: Path) -> None:
    (only,) = find_demonstrations([folder / "cooking"], ["washing", "cooking"])
    assert only.workflow == "cooking"


@pytest.mark.parametrize(
    ("paths", "known", "words"),
    [
        (["washing", "cooking/3.mkv"], None, "not both"),
        (["gone.mp4"], None, "no such recording"),
        (["empty"], None, "empty holds no recording"),
        (["cooking", "cooking"], None, "two folders are called cooking"),
        (["cooking/3.mkv"], ["washing", "cooking"], "called like one of them: washing, cooking"),
        (["washing", "cooking"], [], "the bundle has one workflow"),
        (["cooking"], [f"w{i}" for i in range(8)], "9 workflows, and a bundle holds 8"),
    ],
)
def test_what_does_not_say_which_workflow_it_shows_is_refused(
    folder: Path, paths: list[str], known: list[str] | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        find_demonstrations([folder / path for path in paths], known)


def test_two_recordings_of_one_name_are_refused(folder: Path) -> None:
    (folder / "cooking" / "1.mp4").touch()
    with pytest.raises(UsageError, match=r"two recordings are called 1\.mp4"):
        find_demonstrations([folder / "washing", folder / "cooking"])
