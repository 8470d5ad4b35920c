#!/bin/sh
# A bundle of your own from labelled videos: extract, train, measure, use.
#
#   sh examples/train_on_your_videos.sh FOLDER TEST_FOLDER    your videos
#   sh examples/train_on_your_videos.sh                       rendered ones, to see it work
#                                                             (pip install 'egomon[simulate]')
#
# Each folder holds videos and segments.csv, one row for each action:
#
#   recording,start,end,label,split,text
#   monday.mp4,3.2,7.0,correct,train,insert the screw
#   monday.mp4,7.8,12.4,mistake,train,insert the gear
#
# Seconds; label is correct, mistake or empty (unknown). split (train, val; by whole recording) and
# text may be left out: every fifth recording is then kept for validation. TEST_FOLDER is work that
# training never sees: only its figures say what to expect.
#
# ENCODER: a bundle, or a file of `egomon models new` that names encoders (its name ends in .toml).
# MINUTES sets how much is rendered.
set -eu

if [ $# -eq 0 ]; then
    egomon simulate --seed 1 --minutes "${MINUTES:-4}" --mistakes 0.3 -o rendered
    egomon simulate --seed 2 --minutes 1 --mistakes 0.3 -o rendered-test
    set -- rendered rendered-test
fi

egomon extract "$1" -o features --model "${ENCODER:-workbench}" # each frame once; resumes
egomon train --recipe default --data features -o my-model
egomon evaluate --model my-model --videos "$2"
video=$(ls "$2"/*.mp4 | head -n 1)
egomon replay "$video" --model my-model --report my-model.html
