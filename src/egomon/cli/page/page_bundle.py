"""What the live page says of the bundle that watches: its name, its steps and their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from egomon.report.hub import LiveHub


def show_bundle(hub: LiveHub, model: str | Path) -> None:
    """Show this bundle on the page from now on.

    Raises:
        BundleError: there is none, or its card or workflow cannot be read.
    """
    from egomon.branches.bundle.locate import find_bundle, read_card
    from egomon.branches.taught.step_pictures import read_step_picture

    folder = find_bundle(model)
    card = read_card(folder)
    hub.step_picture = lambda step: read_step_picture(folder, step)
    hub.show("bundle", {"model": card.name})
    hub.show("demonstration", card.demonstration)
    hub.show("workflow", steps_of(folder))


def steps_of(folder: Path) -> list[dict[str, Any]]:
    """Steps of a taught bundle in order, and when each was done in the runs that taught it.

    None of another bundle, whose steps have no order.
    """
    from egomon.branches.taught.step_pictures import read_step_picture
    from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs
    from egomon.cli.page.taught_steps import STEPS_FILE, spans_of

    path = folder / WORKFLOW_FILE
    if not path.is_file():
        return []
    steps = [step for graph in read_graphs(path) for step in graph.steps]
    found = spans_of(folder / STEPS_FILE)
    return [
        {
            "id": step.id,
            "name": step.name,
            "optional": step.optional,
            "picture": f"step/{quote(step.id, safe='')}"
            if read_step_picture(folder, step.id) is not None
            else None,
            "runs": [
                {"name": run, "start": spans[i].t_start, "end": spans[i].t_end}
                for run, spans in found.items()
                if len(spans) == len(steps)
            ],
        }
        for i, step in enumerate(steps)
    ]
