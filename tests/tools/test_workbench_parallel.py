"""The whole training of the demonstration bundle, from nothing, as small as it gets."""

import pytest
from tools.make_workbench.encode_recordings import RecordingCache
from tools.make_workbench.networks.large import LargePlan
from tools.make_workbench.networks.small import SmallPlan
from tools.make_workbench.networks.tower import TowerPlan
from tools.make_workbench.networks.vision_pretraining import VisionPlan
from tools.make_workbench.parallel import run_parallel
from tools.make_workbench.run import SEED, WorkbenchSize, WorkbenchTraining

SMALLEST = WorkbenchSize(
    chunks=1,
    recording_sets=(
        RecordingCache("bank", 2, bank=True, salt=0),
        RecordingCache("gate", 2, 0.5, salt=1),
        RecordingCache("val", 2, 0.5, salt=2),
    ),
    tower=TowerPlan(coarse_steps=1, fine_steps=1, batch=8),
    small=SmallPlan(steps=1, batch=4),
    vision=VisionPlan(cycles=(1,), batch=4),
    large=LargePlan(steps=1, batch=4),
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_make_every_stage_and_both_branches_give_scores(tmp_path):
    run_parallel(tmp_path, SMALLEST, 2, SEED)
    stages = {path.stem for path in tmp_path.glob("*.safetensors")}
    assert stages == {"tower", "eyes0", "activity", "small", "large"}
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")}
    training = WorkbenchTraining(tmp_path, SMALLEST, 1)
    judged = training.gate_inputs(training.recordings[1])
    assert len(judged.z_s) == len(judged.z_l) > 0
    assert bool(judged.z_s.isfinite().all())
    assert {path: path.stat().st_mtime_ns for path in made} == made
