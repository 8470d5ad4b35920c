"""Frames/s of `egomon extract --ray local` with one actor and with two.

    python -m benchmarks.ray_scaling --folder DIR [--rounds 2]

Real runs of the command, each on a local Ray cluster of its own, one CPU an actor, on recordings
of 1280 x 720 made here. Encoders: `lite0`, and a ViT-B/32 of the size of CLIP's with random
weights. `at work` counts from the first recording's begin to the last one's end; `whole` also has
the start of Ray and of the models. `cores` are those that the processes had meanwhile: other
programs on the machine take the rest. Without Ray, shards that are bound to a core each tell what
the machine itself allows. `a core`: frames/s for each of the cores. The best of the rounds is told:
other work only slows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.extraction_cost import RATE, write_video

SECONDS = 32
"""Of a recording."""
VIT = {
    "library": "open_clip",
    "architecture": "ViT-B-32",
    "weights": "random:0",
    "image_px": 224,
    "dim": 512,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    card = args.folder / "vit.json"
    card.write_text(json.dumps(VIT))
    print("| encoder | processes | whole | at work | cores | a core |\n|---|---|---|---|---|---|")
    for name, model, count in (("lite0", "lite0", 8), ("ViT-B/32", str(card), 4)):
        videos = make_videos(args.folder / f"{count}-videos", count)
        rows: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(args.rounds):  # in turns, so that other work on the machine meets all
            for actors in (1, 2):
                words = ["--ray", "local", "--ray-actors", str(actors)]
                found = measure(videos, model, args.folder / "out", [words])
                rows.setdefault(f"{actors} by Ray", []).append(found)
            for processes in (1, 2):
                shards = [["--shard", f"{k + 1}/{processes}"] for k in range(processes)]
                found = measure(videos, model, args.folder / "out", shards)
                rows.setdefault(f"{processes} by hand", []).append(found)
        for how, found in rows.items():
            whole, working, cores = max(found, key=lambda each: each[1])
            told = f"{whole:.1f} | {working:.1f} | {cores:.2f} | {working / cores:.1f}"
            print(f"| {name} | {how} | {told} |", flush=True)


def make_videos(folder: Path, count: int) -> Path:
    """The same half a minute under several names."""
    if folder.is_dir():
        return folder
    folder.mkdir(parents=True)
    first = write_video(folder / "r00.mp4", np.random.default_rng(0), SECONDS * RATE)
    lines = ["recording,start,end,label"]
    for k in range(count):
        if k:
            shutil.copy(first, folder / f"r{k:02}.mp4")
        lines += [f"r{k:02}.mp4,{start},{start + 4},0" for start in range(0, SECONDS, 4)]
    (folder / "segments.csv").write_text("\n".join(lines))
    return folder


def measure(
    videos: Path, model: str, out: Path, commands: Sequence[list[str]]
) -> tuple[float, float, float]:
    """Frames/s of the whole and while recordings are encoded, and CPU cores used meanwhile."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "egomon", "extract", str(videos), "-o", str(out)]
    command += ["-m", model, "--torch-device", "cpu", "--json"]
    env = os.environ | {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    running = []
    for core, words in enumerate(commands):
        bound = [] if "--ray" in words else ["taskset", "-c", str(core)]
        words = [*bound, *command, *words]
        running.append(subprocess.Popen(words, stdout=subprocess.PIPE, env=env))
    word = "ray::Map" if "--ray" in commands[0] else "--shard"
    had: dict[str, float] = {}
    cpu: list[tuple[float, float]] = []
    while any(each.poll() is None for each in running):
        had |= cpu_seconds(word)  # also of those that have ended
        cpu.append((time.time(), sum(had.values())))
        time.sleep(0.2)
    reports = [json.loads(each.communicate()[0]) for each in running]
    records = [json.loads(Path(report["record"]).read_text()) for report in reports]
    rows: list[dict[str, Any]] = [row for record in records for row in record["recordings"]]
    frames = sum(row["frames"] for row in rows)
    ends = {path.stem: path.stat().st_mtime for path in out.glob("features/*.npz")}
    begin, end = min(ends[row["name"]] - row["seconds"] for row in rows), max(ends.values())
    used = np.diff(np.interp([begin, end], *np.transpose(cpu)))
    whole = max(record["seconds"] for record in records)
    return frames / whole, frames / (end - begin), float(used[0]) / (end - begin)


def cpu_seconds(word: str) -> dict[str, float]:
    """Of each process that has this word in its command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if word.encode() in (folder / "cmdline").read_bytes():
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks = int(fields[11]) + int(fields[12])
                found[folder.name] = ticks / os.sysconf("SC_CLK_TCK")
    return found


if __name__ == "__main__":
    main()
