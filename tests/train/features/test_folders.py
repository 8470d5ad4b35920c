"""Feature sets at addresses: memory and a local S3 server; the same arrays as in a folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner
from made_videos import grey_video

from egomon.cli.app import app
from egomon.errors import EgomonError, MissingExtraError, UsageError
from egomon.train.features import folders
from egomon.train.features.feature_set import read_feature_set
from egomon.train.features.folders import absolute, open_folder

upath = pytest.importorskip("upath", reason="the extra `s3` (universal_pathlib) is not installed")

RECIPE = 'name = "quick"\ndescription = "One epoch"\nwidth = 8\nepochs = 1\n'


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folders") / "videos"
    folder.mkdir()
    lines = ["recording,start,end,label,split"]
    for k, name in enumerate("abcd"):
        grey_video(folder / f"{name}.mp4", 40)
        split = "val" if k > 1 else "train"
        lines += [f"{name}.mp4,0.5,2,0,{split}", f"{name}.mp4,2,3.5,1,{split}"]
    (folder / "segments.csv").write_text("\n".join(lines))
    return folder


def run(*words: object) -> Any:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(done.exception, EgomonError):
        raise done.exception
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """Address of a local S3 server."""
    pytest.importorskip("s3fs", reason="the extra `s3` (s3fs) is not installed")
    folders = f"{sys.prefix}/s3-server/bin{os.pathsep}{os.environ['PATH']}"
    program = shutil.which("moto_server", path=folders)
    if program is None:
        pytest.skip("there is no moto_server; `make setup` installs one")
    command = [program, "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in server.stderr)
        address = next(each[0] for each in found if each)
        Thread(target=server.stderr.read, daemon=True).start()  # a full pipe would stop it
        yield address
        server.kill()


def forget_connections() -> None:
    """They are kept by address, whatever the environment says meanwhile."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    import fsspec

    for name, value in (
        ("AWS_ENDPOINT_URL", s3_server),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    forget_connections()
    fsspec.filesystem("s3").makedirs("vectors", exist_ok=True)
    return f"s3://vectors/{uuid.uuid4().hex}"


@pytest.fixture
def memory() -> str:
    return f"memory://vectors/{uuid.uuid4().hex}"


@pytest.mark.parametrize("where", ["memory", "bucket"])
def test_vectors_at_an_address_are_those_of_a_folder(
    videos: Path, tiny_bundle: Path, tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(where)
    run("extract", videos, "-o", tmp_path / "f", "-m", tiny_bundle, "--large", "--json")
    words = ("extract", videos, "-o", address, "-m", tiny_bundle, "--large", "--json")
    run(*words, "--shard", "1/2")
    told = run(*words)
    assert (told["out"], told["encoded"], told["kept"], told["segments"]) == (address, 2, 2, 8)
    here, there = read_feature_set(tmp_path / "f"), read_feature_set(open_folder(address))
    assert there.segments == here.segments
    for name in here.recordings:
        kinds = ("features", "large")
        files = [f"{kind}/{name}.npz" for kind in kinds]
        found = [open_folder(f"{address}/{file}").read_bytes() for file in files]
        assert found == [(tmp_path / "f" / file).read_bytes() for file in files]
    assert json.loads(open_folder(told["record"]).read_bytes())["counts"]["encoded"] == 2


def test_train_and_evaluate_read_vectors_from_an_address(
    videos: Path, tiny_bundle: Path, tmp_path: Path, bucket: str
) -> None:
    (tmp_path / "quick.toml").write_text(RECIPE)
    run("extract", videos, "-o", bucket, "-m", tiny_bundle, "--json")
    made = tmp_path / "made"
    run("train", "--recipe", tmp_path / "quick.toml", "--data", bucket, "-o", made, "--json")
    told = run("evaluate", "--model", made, "--data", bucket, "--json")
    assert told


def test_a_bucket_that_is_not_there_is_one_sentence(
    videos: Path, tiny_bundle: Path, bucket: str
) -> None:
    address = bucket.replace("vectors", "nobody-has-it")
    with pytest.raises(EgomonError, match="nobody-has-it") as raised:
        run("extract", videos, "-o", address, "-m", tiny_bundle, "--json")
    assert raised.value.exit_code == 2


def test_an_address_that_does_not_answer_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("s3fs", reason="the extra `s3` (s3fs) is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        forget_connections()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(UsageError, match=r"s3://vectors/f cannot be reached"):
            open_folder("s3://vectors/f")


def test_a_protocol_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"nonesuch:// is no address of a folder"):
        open_folder("nonesuch://vectors/f")


def test_keys_in_an_address_are_not_shown() -> None:
    with pytest.raises(UsageError) as raised:
        open_folder("nonesuch://me:hunter2@vectors/f")
    assert "hunter2" not in str(raised.value)


def test_a_path_needs_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upath", None)
    assert open_folder(str(tmp_path)) == tmp_path
    assert absolute(Path()) == str(Path.cwd())
    with pytest.raises(MissingExtraError, match=r"memory:// .*egomon\[s3\]"):
        folders.open_folder("memory://x")
