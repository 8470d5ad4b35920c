"""Training code of the demonstration bundle, in parts; the shipped bundle has a file of its own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tools.make_workbench import fuse
from tools.make_workbench.augment import Splicer, real_samples
from tools.make_workbench.decide import (
    FALSE_ALARMS_PER_MINUTE,
    PRIOR,
    calibrate,
    threshold,
)
from tools.make_workbench.encode_recordings import FPS, KINDS, BankedRecording
from tools.make_workbench.networks import qwen
from tools.make_workbench.networks.tower import heat_targets
from tools.make_workbench.networks.vocabulary import END, LENGTH, WORDS, tokens, word_bags
from tools.make_workbench.scores import auc

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.uemcm.qwen3_vl import Qwen3VLEmbedder
from egomon.train.fitting.calibration import probabilities
from egomon.train.simulator.plan import EXECUTION, SEEN, missing
from egomon.train.simulator.shapes import PARTS


@pytest.fixture(scope="module")
def model_and_processor():
    model, processor = qwen.new_model(0)
    return model.eval(), processor


def test_the_batched_halves_of_the_qwen_model_give_its_own_numbers(model_and_processor):
    model, processor = model_and_processor
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (2, qwen.FRAMES, 128, 128, 3), dtype=np.uint8)
    times = np.sort(rng.uniform(0, 12, (2, qwen.FRAMES)), axis=1)
    card = LargeEncoderCard(
        weights="x",
        frames=qwen.FRAMES,
        frame_px=128,
        instruction=qwen.INSTRUCTION,
        dim=qwen.WIDTH,
    )
    expected = Qwen3VLEmbedder(card, model, processor).embed(
        [list(clip) for clip in clips], [t.tolist() for t in times]
    )
    reader = qwen.Reader(model, processor)
    with torch.inference_mode():
        pairs = qwen.patches(clips.reshape(-1, 2, 128, 128, 3))
        visual = qwen.VisionTower(model.visual)(pairs)[1].view(
            2, qwen.PAIRS, qwen.TOKENS_PER_PAIR, -1
        )
        found, _ = reader(visual, [reader.text(t) for t in times])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_cells_are_numbered_as_the_patches_are_cut():
    frames = np.zeros((1, 2, 128, 128, 3), np.uint8)
    frames[0, :, 16 * 3 : 16 * 4, 16 * 5 : 16 * 6] = 255  # row 3, column 5
    bright = int(qwen.patches(frames)[0].mean(dim=1).argmax())
    assert qwen.cell_order()[bright] == 3 * qwen.CELLS + 5


def bank_take(seed: int) -> BankedRecording:
    """A bank recording whose frame vectors say what they show, instead of pixels."""
    rng = np.random.default_rng(seed)
    parts = np.concatenate([np.arange(8), rng.integers(8, size=5)])
    kinds = np.concatenate([np.zeros(8, int), [KINDS.index(kind) for kind in EXECUTION]])
    order = rng.permutation(13)
    starts = 10 + np.arange(13) * 5.0
    spans = np.stack([starts, starts + 4], axis=1)
    cards = np.array([[i * 2.0, i * 2.0 + 2, i] for i in range(4)])
    times = np.arange(int((starts[-1] + 5) * FPS)) / FPS
    vectors = np.zeros((len(times), 14), np.float16)
    for (low, high), part in zip(spans, parts[order], strict=True):
        vectors[(times >= low) & (times < high), part] = 1
    for low, high, sign in cards:
        vectors[(times >= low) & (times < high), 8 + int(sign)] = 1
    states = np.zeros((len(times), 7), np.float32)
    return BankedRecording(
        Path("none"), -1, float(starts[-1] + 5), times, spans, parts[order], kinds[order], cards,
        states, vectors,
    )  # fmt: skip


def test_spliced_samples_show_what_their_labels_say():
    samples = Splicer([bank_take(0), bank_take(1)]).sample(200, np.random.default_rng(0))
    shown = samples.fine.amax(dim=1)
    context = samples.coarse.amax(dim=1)
    for row in range(200):
        workflow = SEEN[int(samples.workflow[row])]
        assert context[row, 8:12].nonzero().flatten().tolist() == [workflow.card]
        part, kind = int(samples.part[row]), KINDS[int(samples.kind[row])]
        assert shown[row, part] == 1
        done = set(samples.done[row].nonzero().flatten().tolist())
        # A step of the next piece may show at a jittered boundary; nothing done is ever lost.
        assert done <= set(context[row, :8].nonzero().flatten().tolist())
        if kind == "wrongpart":
            assert part in workflow.absent
        elif kind == "repeat":
            assert part in done
        elif kind in ("order", "skip"):
            assert missing(workflow, part, done)
        elif kind == "ok":
            assert part in workflow.parts
            assert part not in done
            assert not missing(workflow, part, done)


def test_samples_of_a_recording_have_the_context_up_to_the_segment_only():
    recording = bank_take(3)
    samples = real_samples(recording, recording.spans, recording.kinds, recording.parts)
    for row in range(len(recording.kinds)):
        context = set(samples.coarse[row, :, :8].amax(dim=0).nonzero().flatten().tolist())
        assert context == set(recording.parts[:row].tolist())
        assert samples.fine[row, :, int(recording.parts[row])].max() == 1


def test_auc_counts_ties_half_and_equals_all_pairs():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 9, 200).astype(float), rng.random(200) < 0.2
    high, low = scores[positive][:, None], scores[~positive][None, :]
    pairs = (high > low).mean() + 0.5 * (high == low).mean()
    assert auc(scores, positive) == pytest.approx(pairs, abs=1e-12)
    assert np.isnan(auc(scores, np.zeros(200, bool)))


def test_calibration_gives_probabilities_at_the_deployment_prior():
    rng = np.random.default_rng(0)
    wrong = rng.random(40_000) < 0.3
    scores = rng.normal(np.where(wrong, 1.5, -1.5), 1.0)
    p = probabilities(scores, calibrate(scores, wrong))
    weight = np.where(wrong, PRIOR / wrong.mean(), (1 - PRIOR) / (1 - wrong.mean()))
    assert np.average(p, weights=weight) == pytest.approx(PRIOR, abs=0.002)
    band = (p > 0.2) & (p < 0.4)
    assert np.average(wrong[band], weights=weight[band]) == pytest.approx(p[band].mean(), abs=0.06)


def test_the_threshold_keeps_false_alarms_within_the_budget_and_wastes_none():
    rng = np.random.default_rng(1)
    wrong = rng.random(4000) < 0.2
    p = np.clip(rng.normal(np.where(wrong, 0.6, 0.1), 0.1), 0, 1)
    limit = threshold(p, wrong, segments_per_minute=10.0)
    right = p[~wrong]
    per_minute = (right >= limit).mean() * 10.0 * (1 - PRIOR)
    assert 0.9 * FALSE_ALARMS_PER_MINUTE <= per_minute <= FALSE_ALARMS_PER_MINUTE


def gate_inputs(count: int, seed: int) -> fuse.GateInputs:
    """The small branch sees workflow mistakes, the large one execution mistakes."""
    rng = np.random.default_rng(seed)
    kinds = np.where(rng.random(count) < 0.3, rng.integers(1, len(KINDS), count), 0)
    family = np.where(kinds == 0, 0, np.where(kinds <= len(EXECUTION), 1, 2))

    def side(sees: int) -> tuple[torch.Tensor, torch.Tensor]:
        feature = rng.normal(size=(count, 16)) * 0.3
        feature[:, 0] = family == sees
        odds = np.where(family == sees, 2.0, -2.0) + rng.normal(size=count) * 1.5
        odds = np.where((family != sees) & (family != 0), rng.normal(size=count) * 3, odds)
        logits = np.stack([-odds / 2, odds / 2], axis=1)
        return torch.from_numpy(feature).float(), torch.from_numpy(logits).float()

    (h_s, z_s), (h_l, z_l) = side(2), side(1)
    recording = np.arange(count) // 6
    return fuse.GateInputs(h_s, z_s, h_l, z_l, kinds, np.zeros(count, np.int64), recording)


def test_the_cross_fitted_gate_beats_the_mean_where_the_branches_know_different_things():
    made = gate_inputs(900, 0)
    crossed = fuse.cross_fitted(made, 0)
    gain, low, _ = fuse.paired(crossed, made.mean(), made, 0, draws=200)
    assert gain > 0
    assert low > 0
    again = fuse.cross_fitted(made, 0)
    np.testing.assert_array_equal(crossed, again)


def test_heat_targets_mark_the_cell_of_each_thing_that_is_shown():
    places = np.full((1, 3, 2), -1.0, np.float32)
    places[0, 1] = 0.99, 0.0
    target = heat_targets(places, 8)
    assert target.sum() == 1
    assert target[0, 1, 0, 7] == 1


def test_captions_become_tokens_with_the_end_as_the_largest_id():
    ids = tokens(["left hand grasps the gear", "hands rest no part in hand"])
    assert ids.shape == (2, LENGTH)
    assert ids.max(dim=1).values.tolist() == [END, END]
    bag = word_bags(["the gear the gear"])
    assert bag.sum() == 2
    assert bag[0, WORDS.index("gear")] == 1
    assert len(PARTS) == len({*PARTS} & {*WORDS})
