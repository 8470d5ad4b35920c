#!/bin/sh
# Your own workflow from correct recordings alone, without labels: teach it, look at it, use it.
#
#   sh examples/teach_your_own.sh right1.mp4 right2.mp4 right3.mp4    your recordings
#   sh examples/teach_your_own.sh                                     rendered ones, to see it work
#                                                                     (pip install 'egomon[simulate]')
#
# Recordings are of correct work only, one to ten of them, from where the camera will be. MINUTES
# sets how much is rendered.
set -eu

wrong=
if [ $# -eq 0 ]; then
    # The same seed gives the same workflows; one recording of the first goes wrong.
    egomon simulate --seed 11 --minutes "${MINUTES:-2}" --workflows unseen --correct-only -o rendered/right
    egomon simulate --seed 11 --minutes 0.1 --workflows unseen --mistakes 0.3 -o rendered/wrong
    wrong=$(ls rendered/wrong/*.mp4)
    set -- rendered/right/*.mp4
fi

egomon teach "$@" -o my-workflow
egomon models show my-workflow --graph --svg my-workflow.svg # correct it in my-workflow/workflow.toml
egomon replay "${wrong:-$1}" --model my-workflow --out my-workflow.jsonl
echo "Live: egomon live --device 0 --model my-workflow"
