"""Readings of what was seen by number, with what the filter asks of many at once as columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from egomon.branches.interfaces import Float64
from egomon.branches.step_filter.moves import Node, WorkflowMistake

Ints = NDArray[np.int64]
COLUMNS = ("step", "look", "workflow", "brief", "fresh", "mistake")


class NodeTable:
    """Nodes that were met; `moves` holds what follows each where it is known."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.moves: list[tuple[Ints, Float64] | None] = []
        self.mistakes: list[WorkflowMistake] = []
        self._ids: dict[Node, int] = {}
        self._mistake_ids: dict[WorkflowMistake, int] = {}
        self._columns = np.zeros((len(COLUMNS), 256), np.int64)

    def __len__(self) -> int:
        return len(self.nodes)

    def of(self, column: str, ids: Ints) -> Ints:
        """One column for these nodes."""
        found: Ints = self._columns[COLUMNS.index(column)][ids]
        return found

    def id_of(self, node: Node) -> int:
        """Its number; it is added where it is new."""
        found = self._ids.get(node)
        if found is not None:
            return found
        found = self._ids[node] = len(self.nodes)
        self.nodes.append(node)
        self.moves.append(None)
        mistake = -1
        if node.mistake is not None:
            mistake = self._mistake_ids.setdefault(node.mistake, len(self.mistakes))
            if mistake == len(self.mistakes):
                self.mistakes.append(node.mistake)
        if found == self._columns.shape[1]:
            self._columns = np.concatenate([self._columns, np.zeros_like(self._columns)], axis=1)
        self._columns[:, found] = (
            node.step,
            node.step if node.look is None else node.look,
            node.workflow,
            node.brief,
            not node.done,
            mistake,
        )
        return found
