"""Benchmarks of the learned workflow graph on labels alone (no pixels, a recogniser is assumed).

`python -m tools.graph_benchmarks assembly101-o DIR` and `... captaincook4d DIR` print
tables beside trivial rows. `assembly101-o` reads any set of that format, EPIC-Tent-O too; its
scores follow PREGO and DTGL: each test sequence ends at its first mistake, so the last step is
the only positive.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.errors import DataError, EgomonError
from tools.graph_benchmarks.captaincook import captaincook4d, captaincook4d_table
from tools.graph_benchmarks.counts import Counts, read_json

ORDER_RULE = "count rule, tau 0.9"
"""The tau of the published row; it and the clock's step number were chosen on the test set."""
UNSEEN_RULE = "unseen step only"

Rule = Callable[[str, Sequence[str]], bool]
"""(step, steps before it in order) to "this is a mistake"."""


def count_last(sequences: Sequence[Sequence[str]], rule: Rule) -> Counts:
    """Score a rule on sequences whose last step, and no other, is a mistake."""
    tp = fp = fn = tn = 0
    for steps in sequences:
        for i, step in enumerate(steps):
            flagged, mistake = rule(step, steps[:i]), i == len(steps) - 1
            tp += flagged and mistake
            fp += flagged and not mistake
            fn += mistake and not flagged
            tn += not mistake and not flagged
    return Counts(tp, fp, fn, tn)


def count_rule(demonstrations: Sequence[Sequence[str]], tolerance: float = 1.0) -> Rule:
    """The count rule as published: an unknown step, or a precondition not yet seen.

    Repetition is no mistake: the set's correct sequences repeat steps freely. Nor is `optional`
    used, which is relative to one workflow, and this set mixes 101 toys.
    """
    graph = WorkflowGraph.learn(demonstrations, tolerance=tolerance)
    needs = {step.id: set(step.after) for step in graph.steps}
    return lambda step, before: step not in needs or not needs[step] <= set(before)


def trivial_rules(demonstrations: Sequence[Sequence[str]]) -> dict[str, Rule]:
    """Trivial rules that each table is compared with."""
    known = {step for steps in demonstrations for step in steps}
    starts = [["", *steps] for steps in demonstrations]
    transitions = {pair for steps in starts for pair in pairwise(steps)}
    return {
        "flag all": lambda step, before: True,
        "never": lambda step, before: False,
        "clock, 4th step on": lambda step, before: len(before) >= 3,
        "clock, 5th step on": lambda step, before: len(before) >= 4,
        UNSEEN_RULE: lambda step, before: step not in known,
        "one-step memory": lambda step, before: (
            ((before[-1] if before else ""), step) not in transitions
        ),
    }


def assembly101_sequences(path: Path) -> dict[str, list[str]]:
    """Step ids by sequence from `train.json` or `test.json`, in order of time.

    Raises:
        DataError: not the published format.
    """
    try:
        return {
            name: [
                str(s["step_id"]) for s in sorted(entry["segments"], key=lambda s: s["start_time"])
            ]
            for name, entry in read_json(path)["annotations"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path.name}: not in the Assembly101-O format ({error!r})") from error


def assembly101(folder: Path) -> dict[str, tuple[Counts, Counts]]:
    """Counts by row: on true steps, and on steps predicted by MiniROAD."""
    train = list(assembly101_sequences(folder / "train.json").values())
    oracle = list(assembly101_sequences(folder / "test.json").values())
    predicted = [
        [str(step) for step in entry["pred"]]
        for entry in read_json(folder / "predicted_steps_miniroad.json").values()
    ]
    rules = {f"count rule, tau {tau:g}": count_rule(train, tau) for tau in (1.0, 0.9, 0.8, 0.5)}
    rules |= trivial_rules(train)
    return {
        name: (count_last(oracle, rule), count_last(predicted, rule))
        for name, rule in rules.items()
    }


def last_recognised(folder: Path) -> tuple[int, int]:
    """Sequences whose last step, the mistake, MiniROAD predicts as the last; and all sequences."""
    true = assembly101_sequences(folder / "test.json")
    predicted = read_json(folder / "predicted_steps_miniroad.json")
    last = {name: str(entry["pred"][-1]) for name, entry in predicted.items() if entry["pred"]}
    return sum(last.get(name) == steps[-1] for name, steps in true.items()), len(true)


def assembly101_table(
    name: str, rows: dict[str, tuple[Counts, Counts]], recognised: tuple[int, int]
) -> str:
    """The rows as text, and what the order of steps gives beyond steps that are unknown.

    Args:
        name: of the data set.
        rows: see `assembly101`.
        recognised: see `last_recognised`.
    """
    lines = []
    for i, title in enumerate(("true steps", "steps predicted by MiniROAD")):
        lines += [
            f"{name}, {title}",
            f"{'':22}{'avg F1':>7}{'mistake P':>11}{'R':>7}{'F1':>7}"
            f"{'correct F1':>12}{'tp':>6}{'fp':>5}{'fn':>5}{'tn':>5}",
        ]
        for rule, pair in rows.items():
            c = pair[i]
            lines.append(
                f"{rule:22}{100 * c.average_f1:7.1f}{100 * c.precision:11.1f}"
                f"{100 * c.recall:7.1f}{100 * c.f1():7.1f}{100 * c.f1(False):12.1f}"
                f"{c.tp:6}{c.fp:5}{c.fn:5}{c.tn:5}"
            )
        order, unseen = rows[ORDER_RULE][i], rows[UNSEEN_RULE][i]
        lines += [
            f"Of the {order.tp} hits of '{ORDER_RULE}', {unseen.tp} are steps that no correct "
            f"sequence holds; the order adds {order.tp - unseen.tp} hits and "
            f"{order.fp - unseen.fp} false flags.",
            "",
        ]
    right, total = recognised
    lines.append(f"MiniROAD has the last step right in {right} of {total} sequences.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.graph_benchmarks", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("benchmark", choices=("assembly101-o", "captaincook4d"))
    parser.add_argument("folder", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        if options.benchmark == "assembly101-o":
            rows, name = assembly101(options.folder), options.folder.resolve().name
            table = assembly101_table(name, rows, last_recognised(options.folder))
        else:
            table = captaincook4d_table(captaincook4d(options.folder))
    except EgomonError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(table + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
