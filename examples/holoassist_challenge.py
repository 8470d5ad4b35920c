"""HoloAssist's mistake challenge: from its videos to a prediction file.

    python examples/holoassist_challenge.py HOLOASSIST --clips LIST --encoder clip.json -o OUT

HOLOASSIST is the data set as published: `data-annotation-trainval-*.json`, `data-splits-*/` and the
videos, `<video>/Export_py/Video_pitchshift.mp4`. LIST is the challenge's list of clips, a line
`<video>_<start>_<end>` each. clip.json names the frame encoder, for example

    {"library": "open_clip", "architecture": "ViT-L-14-quickgelu", "weights": "openai",
     "image_px": 224, "dim": 768}

Both steps of encoding go on where they were interrupted. Expect hours on a GPU for all 166 h of
video. The format of the prediction file is inferred: it has not been tried on the server.
"""

import argparse
import csv
from pathlib import Path

from egomon.train.evaluation.challenge import challenge, read_clips
from egomon.train.evaluation.evaluate import evaluate_features
from egomon.train.features.extract import extract
from egomon.train.fitting.fit import train


def link_listed_videos(holoassist: Path, clips: Path, folder: Path) -> None:
    """A folder of the list's videos and its clips as segments without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = read_clips(clips)
    for name in {video for video, _, _ in listed}:
        link = folder / f"{name}.mp4"
        if not link.exists():
            link.symlink_to((holoassist / name / "Export_py/Video_pitchshift.mp4").resolve())
    with (folder / "segments.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["recording", "start", "end", "label", "context_start"])
        rows.writerows((video, start, end, "", start) for video, start, end in listed)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("holoassist", type=Path)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--encoder", required=True, help="JSON file, or a bundle")
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    out: Path = options.out

    extract(options.holoassist, out / "features", model=options.encoder)
    train(options.recipe, out / "features", out / "bundle")
    report = evaluate_features(str(out / "bundle"), out / "features", split="val")
    print(f"validation: ROC-AUC {report.scores['roc_auc']:.3f}")

    link_listed_videos(options.holoassist, options.clips, out / "listed")
    extract(out / "listed", out / "listed-features", model=options.encoder)
    predictions = out / "predictions.json"
    told = challenge(
        out / "bundle", out / "listed-features", predictions, clips=options.clips, context="offline"
    )
    print(f"{told.clips} clips, {told.mistakes} called mistakes: {predictions}")


if __name__ == "__main__":
    main()
