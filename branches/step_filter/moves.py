"""What may come next in a workflow: legal moves, and the mistakes that are looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from egomon.branches.taught.transitions import Ready, Rules

MistakeKind = Literal["missing", "repeated", "stopped", "foreign", "long"]
P_MISSING, P_REPEATED, P_FOREIGN, P_STOPPED = 0.01, 0.01, 0.003, 0.002
"""Probability that a step ends in such a mistake; the last where many steps were still to come."""
P_NEXT_CYCLE = 0.3
"""That the work begins anew once all steps are done."""
P_JOINED = 0.03
"""That a stream begins in the middle of the work; nothing is told of what came before."""
P_JOINED_LATE = 0.02
"""That such a stream seems to show a step from before that place, though it is another: without its
beginning, steps are told apart less surely. Several such steps are a mistake."""
P_BACK = 0.02
"""That one goes back to the step just left, for a moment: no mistake."""
P_LATE = 0.5
"""Weight of going back to a step whose absence was told, beside going on."""
P_UNSEEN_ON = 0.5
"""That a step looks like the one before it where that looks like an earlier one already."""
FOREIGN = -1
START = -2


class WorkflowMistake(NamedTuple):
    """What went wrong since the last alert."""

    kind: MistakeKind
    workflow: int
    step: int
    """Index of the step that shows it; for `foreign`, the one that was interrupted."""
    absent: int = 0
    """Mask of the steps that were left out."""


class Node(NamedTuple):
    """One reading of everything seen so far."""

    workflow: int
    done: int
    """Mask of the steps done before this one."""
    waived: int
    """Mask of the steps whose absence has shown."""
    step: int
    """Index, `FOREIGN`, or `START`."""
    before: int = FOREIGN
    """Step that foreign work, or a moment of the step before it, interrupted."""
    mistake: WorkflowMistake | None = None
    """Not told yet."""
    age: int = 0
    """Steps since it was made."""
    brief: bool = False
    """A moment only."""
    look: int | None = None
    """Earlier step that this one looks like; None = it looks like itself."""
    joined: int = 0
    """Mask of the steps before the place where the stream began, in the middle of the work."""


Moves = list[tuple[Node, float]]


def moves(
    rules: Sequence[Rules],
    node: Node,
    again: float = 1.0,
    unseen: float = 0.0,
    *,
    cycles: bool = True,
) -> Moves:
    """Nodes that may follow, and their probabilities, which sum to 1.

    Args:
        rules: of each workflow.
        node: what has been done and is being done.
        again: times the usual probability that earlier steps are done again by mistake.
        unseen: probability that a step looks like the one before it.
        cycles: the work may begin anew by itself once all steps are done.
    """
    if node.step == START:
        return _begin(rules)
    found = _next(rules, node, again, cycles, surely=not unseen)
    if node.step == FOREIGN or not unseen:
        return found
    return list(_with_unseen(found, node, unseen))


def _with_unseen(found: Moves, node: Node, unseen: float) -> Iterator[tuple[Node, float]]:
    """Correct moves may go unseen; a mistake must be seen as what it is."""
    look = node.step if node.look is None else node.look
    unseen = unseen if node.look is None else P_UNSEEN_ON
    for new, p in found:
        made = new.mistake != node.mistake
        if made or new is node or new.brief or new.step in (FOREIGN, look):
            yield new, p
        else:
            yield new, p * (1.0 - unseen)
            yield new._replace(look=look), p * unseen


def _next(rules: Sequence[Rules], node: Node, again: float, cycles: bool, *, surely: bool) -> Moves:
    rule = rules[node.workflow]
    foreign = node.step == FOREIGN
    done = node.done if foreign else node.done | 1 << node.step
    seen = done | node.waived
    # A mistake is told while it lasts, or in the step after it; then it is forgotten.
    kept = node.mistake if node.age < 1 else None
    age = 0 if kept is None else node.age + 1
    ready = rule.ready(done, node.waived)
    found: Moves = []

    def add(step: int, p: float, made: WorkflowMistake | None = None, waived: int = 0) -> None:
        mistake, years = (kept, age) if kept is not None else (made, 0)
        joined = 0 if made is not None and node.joined >> step & 1 else node.joined
        new = Node(node.workflow, done, node.waived | waived, step, FOREIGN, mistake, years)
        found.append((new._replace(joined=joined), p))

    for step, absent, share in _early(ready):
        left_out = WorkflowMistake("missing", node.workflow, step, absent)
        add(step, P_MISSING * share, left_out, absent)
    # What was before its place is not done after it: the stream has left it out. One or two
    # recordings do not tell steps apart surely enough for that.
    late = [s for s in ready.legal if surely and node.joined >> s & 1]
    for step in late:
        first = (done & -done).bit_length() - 1
        left_out = WorkflowMistake("missing", node.workflow, first, node.joined)
        add(step, P_MISSING / len(late), left_out)
        add(step, P_JOINED_LATE / len(late))
    left = rule.member & ~rule.optional & ~seen
    repeated = [s for s in ready.again if s != node.step]
    p = again * P_REPEATED
    for step in repeated:
        add(step, p / len(repeated), WorkflowMistake("repeated", node.workflow, step))
    if not foreign:
        strange = kept or WorkflowMistake("foreign", node.workflow, node.step)
        away = Node(node.workflow, done, node.waived, FOREIGN, node.step, strange, age)
        found.append((away._replace(joined=node.joined), P_FOREIGN))
        if node.done and not node.brief:
            last = node.done.bit_length() - 1
            back = Node(node.workflow, done, node.waived, last, node.step, kept, age, True)
            found.append((back._replace(joined=node.joined), P_BACK))
    firsts = [s for s in rule.ready(0, 0).legal if left == 0 or s != node.step]
    for step in firsts if left or cycles else ():
        stopped = WorkflowMistake("stopped", node.workflow, step, left) if left else None
        p = P_NEXT_CYCLE
        if left:  # the last steps are left out as any others are; it shows once work begins anew
            p = again * max(P_STOPPED, P_MISSING * 0.5 ** (left.bit_count() - 1))
        new = Node(node.workflow, 0, 0, step, FOREIGN, kept or stopped, age)
        found.append((new, p / len(firsts)))
    # After one recording (`again` is less) a step that looks like an earlier one is no mistake yet.
    skips = _early(rule.ready(0, 0)) if cycles and not left and again >= 1.0 else ()
    for step, absent, share in skips:
        left_out = kept or WorkflowMistake("missing", node.workflow, step, absent)
        new = Node(node.workflow, 0, absent, step, FOREIGN, left_out, age)
        found.append((new, P_MISSING * share))
    rest = 1.0 - sum(p for _, p in found)
    newest = done.bit_length() - 1
    legal = [s for s in ready.legal if s != node.step and s not in late]
    if node.before >= 0 and node.before not in legal:
        legal.append(node.before)
    shares = [P_LATE if s < newest and s != node.before else 1.0 for s in legal]
    for step, share in zip(legal, shares, strict=True):
        add(step, rest * share / sum(shares))
    if not legal:  # the last step, or foreign work after it, goes on
        found.append((node, rest))
    return found


def _early(ready: Ready) -> Iterator[tuple[int, int, float]]:
    """Step, mask of those left out before it, and its share: half for each one more."""
    weights = [0.5 ** (absent.bit_count() - 1) for _, absent in ready.early]
    for (step, absent), weight in zip(ready.early, weights, strict=True):
        yield step, absent, weight / sum(weights)


def _begin(rules: Sequence[Rules]) -> Moves:
    found: Moves = []
    for w, rule in enumerate(rules):
        share = 1.0 / len(rules)
        legal = set(rule.ready(0, 0).legal)
        others = [s for s in range(len(rule.need)) if rule.member >> s & 1 and s not in legal]
        joined = P_JOINED / (len(others) + 1)
        for step in legal:
            found.append((Node(w, 0, 0, step), share * (1 - P_JOINED) / len(legal)))
        for step in others:
            before = rule.need[step]
            found.append((Node(w, 0, before, step, joined=before), share * joined))
        found.append((Node(w, 0, 0, FOREIGN), share * joined))
    return found
