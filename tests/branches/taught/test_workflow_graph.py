from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egomon.branches.taught.workflow_drawing import direct_edges, layers_of, stack_svg
from egomon.branches.taught.workflow_file import from_toml, read_graphs, to_toml, write_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.errors import BundleError

SALAD = [
    ["wash", "cut", "oil", "mix"],
    ["wash", "oil", "cut", "mix", "mix"],
    ["oil", "wash", "cut", "mix", "salt"],
]


@pytest.fixture
def salad() -> WorkflowGraph:
    return WorkflowGraph.learn(SALAD, name="salad")


def after(graph: WorkflowGraph) -> dict[str, set[str]]:
    return {step.id: set(step.after) for step in graph.steps}


def test_only_orders_that_all_demonstrations_share_become_preconditions(
    salad: WorkflowGraph,
) -> None:
    assert after(salad) == {
        "wash": set(),
        "oil": set(),
        "cut": {"wash"},
        "mix": {"wash", "oil", "cut"},
        "salt": {"wash", "oil", "cut", "mix"},
    }


def test_optional_and_repeatable_are_learned_from_counts(salad: WorkflowGraph) -> None:
    assert {s.id for s in salad.steps if s.optional} == {"salt"}
    assert {s.id for s in salad.steps if s.repeatable} == {"mix"}


def test_a_missing_step_is_named_as_the_reason(salad: WorkflowGraph) -> None:
    finding = salad.check("cut", {"oil"})

    assert finding is not None
    assert (finding.kind, finding.missing) == ("missing", ("wash",))
    assert (
        finding.reason == "expected 'wash' (step 1), which has not been seen; 'cut' (step 3) began"
    )


def test_several_missing_steps_are_all_named(salad: WorkflowGraph) -> None:
    finding = salad.check("mix", {"oil"})

    assert finding is not None
    assert finding.reason.startswith(
        "expected 'wash' (step 1) and 'cut' (step 3), which have not been seen; "
    )


def test_free_order_is_left_alone_and_repeats_are_told_where_never_demonstrated(
    salad: WorkflowGraph,
) -> None:
    assert salad.check("wash", {"oil"}) is None
    assert salad.check("oil", {"wash"}) is None
    assert salad.check("mix", {"wash", "oil", "cut", "mix"}) is None
    repeated = salad.check("cut", {"wash", "oil", "cut"})
    assert repeated is not None
    assert repeated.kind == "repeated"


def test_an_unknown_step_is_told(salad: WorkflowGraph) -> None:
    finding = salad.check("hammer", {"wash"})

    assert finding is not None
    assert finding.kind == "unknown"


@given(st.lists(st.permutations(["a", "b", "c", "d", "e"]), min_size=1, max_size=6))
def test_no_demonstration_is_ever_flagged_by_the_graph_learned_from_it(
    demonstrations: list[list[str]],
) -> None:
    graph = WorkflowGraph.learn(demonstrations, tolerance=1.0)

    for demonstration in demonstrations:
        for i, step in enumerate(demonstration):
            assert graph.check(step, demonstration[:i]) is None


def test_the_graph_survives_toml_with_awkward_names(tmp_path: Path) -> None:
    names = {"wash": 'wash "twice"', "cut": "schneiden – ½\t\\ \x7f", "oil": "oil # no comment\n"}
    graph = WorkflowGraph.learn(SALAD, name="salad 'à la' Nina", names=names)

    write_graphs([graph], tmp_path / "workflow.toml")

    assert read_graphs(tmp_path / "workflow.toml", ids=graph.ids) == (graph,)


def test_several_workflows_share_a_file_and_its_ids(salad: WorkflowGraph, tmp_path: Path) -> None:
    soup = WorkflowGraph.learn([["wash", "cut", "boil"]], name="soup")
    path = tmp_path / "workflow.toml"

    write_graphs([salad, soup], path)

    assert read_graphs(path, ids={*salad.ids, *soup.ids}) == (salad, soup)
    with pytest.raises(BundleError, match="'boil' is not in the bundle"):
        read_graphs(path, ids=salad.ids)


def test_marking_a_step_optional_silences_its_absence(salad: WorkflowGraph) -> None:
    text = to_toml([salad])
    cut = text.index('id = "cut"')
    (edited,) = from_toml(text[:cut] + text[cut:].replace("optional = false", "optional = true", 1))

    assert salad.check("mix", {"wash", "oil"}) is not None
    assert edited.check("mix", {"wash", "oil"}) is None


def test_an_optional_step_is_still_demanded_by_steps_that_are_optional_too(
    salad: WorkflowGraph,
) -> None:
    cut = salad.find("cut")
    assert cut is not None
    others = tuple(step for step in salad.steps if step is not cut)
    edited = replace(salad, steps=(*others, replace(cut, optional=True)))

    assert edited.missing_before("salt", {"wash", "oil", "mix"}) == ("cut",)


def test_a_renamed_step_is_called_by_its_new_name(salad: WorkflowGraph) -> None:
    (edited,) = from_toml(to_toml([salad]).replace('name = "wash"', 'name = "rinse the leaves"'))

    finding = edited.check("cut", set())

    assert finding is not None
    assert "'rinse the leaves' (step" in finding.reason


def test_an_order_that_was_removed_is_no_longer_demanded(salad: WorkflowGraph) -> None:
    (edited,) = from_toml(to_toml([salad]).replace('after = ["wash"]', "after = []"))

    assert salad.check("cut", set()) is not None
    assert edited.check("cut", set()) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "not valid TOML"),
        ('name = "x"', "at least one"),
        ("workflow = []", "at least one"),
        ("workflow = [1]", "must be a table"),
        ('demonstrations = "5"\n[[step]]\nid="a"\nname="a"', "demonstrations must be a int"),
        ('[[workflow]]\n[[workflow.step]]\nid="a"', r"\[\[workflow\]\] 1, .*needs an id"),
        ('colour = "red"\n[[step]]\nid="a"\nname="a"', "unknown key 'colour'"),
        ('[[step]]\nid="a"\nname="a"\nwhen="now"', "unknown key 'when'"),
        ('[[step]]\nid="a"', "needs an id and a name"),
        ('[[step]]\nid="a"\nname="a"\noptional="yes"', "optional must be a bool"),
        ('[[step]]\nid="a"\nname="a"\n[[step]]\nid="a"\nname="b"', "the id 'a'"),
        ('[[step]]\nid="a"\nname="a"\n[[step]]\nid="b"\nname="a"', "the name 'a'"),
        ('[[step]]\nid="a"\nname="a"\nafter=["z"]', "'z', which is no step"),
        (
            '[[step]]\nid="a"\nname="a"\nafter=["b"]\n[[step]]\nid="b"\nname="b"\nafter=["a"]',
            "wait for each other",
        ),
    ],
)
def test_a_broken_file_is_refused_with_what_is_wrong(text: str, told: str) -> None:
    with pytest.raises(BundleError, match=told):
        from_toml(text)


def test_ids_unlike_the_bundles_are_refused(salad: WorkflowGraph, tmp_path: Path) -> None:
    path = tmp_path / "workflow.toml"
    write_graphs([salad], path)

    with pytest.raises(BundleError, match="'salt' is not in the bundle"):
        read_graphs(path, ids=("wash", "oil", "cut", "mix"))
    with pytest.raises(BundleError, match="'glue' of the bundle is gone"):
        read_graphs(path, ids=(*salad.ids, "glue"))


def test_the_drawing_shows_rows_direct_edges_and_marks(salad: WorkflowGraph) -> None:
    needed = {s.id: s.after for s in salad.steps}

    assert layers_of(needed) == [["wash", "oil"], ["cut"], ["mix"], ["salt"]]
    assert direct_edges(needed) == [
        ("wash", "cut"),
        ("oil", "mix"),
        ("cut", "mix"),
        ("mix", "salt"),
    ]
    text = salad.to_text()
    assert " | 1 wash\n | 2 oil\n" in text
    assert "4 mix (repeatable)  <- 2 oil, 3 cut" in text


def test_the_svg_is_well_formed_and_escapes_names() -> None:
    graph = WorkflowGraph.learn([["a", "b"]], names={"a": "<cut> & 'glue'"}, name="<w>")

    root = ET.fromstring(graph.to_svg())

    space = "{http://www.w3.org/2000/svg}"
    assert [t.text for t in root.iter(f"{space}title")] == ["1 <cut> & 'glue'", "2 b"]
    assert len([p for p in root.iter(f"{space}path") if "marker-end" in p.attrib]) == 1


def test_drawings_are_stacked_in_one_file(salad: WorkflowGraph) -> None:
    root = ET.fromstring(stack_svg([salad.to_svg(), salad.to_svg()]))

    inner = root.findall("{http://www.w3.org/2000/svg}svg")
    assert [int(i.attrib.get("y", 0)) for i in inner] == [0, int(inner[0].attrib["height"])]
    assert int(root.attrib["height"]) == 2 * int(inner[0].attrib["height"])


def test_the_graph_works_without_torch() -> None:
    code = "import sys, egomon.branches.taught.workflow_file; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
