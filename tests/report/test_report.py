"""The report of a run: data, escaping, pictures, videos, files of events."""

from __future__ import annotations

import html.parser
import json
import os
from pathlib import Path

import pytest
from wire_data import alert, segment, workday

from egomon.errors import DataError
from egomon.fusion.messages.envelope import Envelope, encode
from egomon.fusion.messages.types import Data, GapData, HeartbeatData, StatusData
from egomon.report import read_events, write_report
from egomon.report.html import asset, build_page, safe_json, script_text, style_text
from egomon.report.page import PageModel
from egomon.report.rows import ROW_FIELDS, segment_row

JPEG = b"\xff\xd8\xff\xe0 picture"
LOCAL = ("#", "data:")
HOSTILE = "</script><script>boom()</script><img src=x onerror=boom()>{{script}}\u2028'\"&"


class _Page(html.parser.HTMLParser):
    """Elements of a page, as a browser would see them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[int, str] = {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        key = len(self.tags) - 1
        self.texts[key] = self.texts.get(key, "") + data

    @property
    def data(self) -> dict[str, object]:
        at = next(i for i, (_, attrs) in enumerate(self.tags) if attrs.get("id") == "data")
        found: dict[str, object] = json.loads(self.texts[at])
        return found


def written(tmp_path: Path, events: list[tuple[str, Data]], **options: object) -> _Page:
    return _Page(write_report(events, tmp_path / "out.html", title="run", **options))  # type: ignore[arg-type]


def test_the_page_holds_every_segment_and_the_last_revision_of_every_alert(tmp_path: Path) -> None:
    data = written(tmp_path, workday(200, 4)).data
    (source,) = data["sources"]  # type: ignore[misc]
    assert len(source["rows"]) == 200
    assert [a["phase"] for a in data["alerts"]] == ["end"] * 4  # type: ignore[attr-defined]
    assert [r["rev"] for r in data["alerts"][0]["revisions"]] == [1, 2]  # type: ignore[index]


def test_nothing_in_the_page_is_loaded_from_anywhere(tmp_path: Path) -> None:
    page = written(tmp_path, workday(20, 1))
    linked = [
        a for _, a in page.tags if not (a.get("src") or a.get("href") or "#").startswith(LOCAL)
    ]
    assert linked == []
    assert "url(" not in style_text()
    policy = next(a for _, a in page.tags if a.get("http-equiv"))["content"] or ""
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "connect-src 'none'" in policy


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    calm = written(tmp_path, [("cam0", alert(explanation="calm"))])
    events: list[tuple[str, Data]] = [("cam0", alert(explanation=HOSTILE))]
    out = write_report(events, tmp_path / "hostile.html", title=HOSTILE, bundle={"model": HOSTILE})
    page = _Page(out)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in calm.tags]
    assert page.data["alerts"][0]["explanation"] == HOSTILE  # type: ignore[index]
    assert page.data["title"] == HOSTILE


def test_scripts_never_make_markup_from_text() -> None:
    page = build_page({}, title="x", live=True)
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert word not in page


def test_the_page_names_no_branch_and_shows_no_equation() -> None:
    script = script_text(live=True)
    shown = script + asset("page.html")
    for words in (" branch", "hollow: notice", "z_s", "the gate"):
        assert words not in shown


def test_json_cannot_end_its_element() -> None:
    assert not set(safe_json("<>&\u2028\u2029")) & set("<>&\u2028\u2029")
    assert json.loads(safe_json(HOSTILE)) == HOSTILE


def test_rows_have_the_columns_that_the_page_reads() -> None:
    row = dict(zip(ROW_FIELDS, segment_row(segment(3, 0.75, fused=True)), strict=True))
    assert (row["id"], row["start"], row["end"], row["p"]) == (3, 3.0, 5.0, 0.75)
    assert (row["gate_large"], row["fused"], row["flags"]) == (0.6, 0.75, 2)


def test_the_columns_have_the_same_names_in_the_script() -> None:

    body = asset("store.js").split("ROW = Object.freeze({")[1].split("}")[0]
    pairs = [pair.split(":") for pair in body.replace("\n", "").split(",") if ":" in pair]
    names = {int(number): name.strip() for name, number in pairs}
    camel = [part[0] + "".join(p.title() for p in part[1:]) for part in map(_split, ROW_FIELDS)]
    assert [names[i] for i in range(len(ROW_FIELDS))] == camel


def _split(name: str) -> list[str]:
    return name.split("_")


def test_a_small_video_travels_inside_and_a_large_one_is_linked(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    small, large = tmp_path / "videos" / "a b.mp4", tmp_path / "videos" / "c #1.mp4"
    small.write_bytes(b"video")
    large.write_bytes(bytes(8_000_000))
    assert written(tmp_path, [], video=small).data["video"] == {
        "src": "data:video/mp4;base64,dmlkZW8=",
        "name": "a b.mp4",
    }
    assert written(tmp_path, [], video=large).data["video"] == {
        "src": "videos/c%20%231.mp4",
        "name": "c #1.mp4",
    }


def test_pictures_are_embedded_and_other_files_refused(tmp_path: Path) -> None:
    page = written(tmp_path, [("cam0", alert())], media={"a1": JPEG})
    assert page.data["pictures"]["a1"].startswith("data:image/jpeg;base64,")  # type: ignore[index]
    with pytest.raises(DataError, match="a1 is no JPEG"):
        written(tmp_path, [], media={"a1": b"<svg onload=boom()>"})
    with pytest.raises(DataError, match="cannot be read"):
        written(tmp_path, [], media={"a1": tmp_path / "missing.jpg"})


def test_an_hour_of_scores_makes_a_page_below_a_megabyte(tmp_path: Path) -> None:
    out = write_report(workday(3600, 40), tmp_path / "hour.html", title="hour")
    assert out.stat().st_size < 1_000_000


def test_equal_events_give_equal_bytes(tmp_path: Path) -> None:
    pages = [write_report(workday(50, 2), tmp_path / f"{i}.html", title="x") for i in (1, 2)]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write the report .*missing"):
        write_report([], tmp_path / "missing" / "out.html", title="x")


def test_a_revised_segment_replaces_its_row_and_old_ones_are_forgotten() -> None:
    model = PageModel(most_segments=10, most_alerts=2)
    for index in range(30):
        model.apply("cam0", segment(index, 0.5))
        model.apply("cam0", alert(f"a{index}"))
    model.apply("cam0", segment(29, 0.9, fused=True))
    data = model.as_data()
    assert [row[0] for row in data["sources"][0]["rows"]] == list(range(20, 30))
    assert data["sources"][0]["rows"][-1][4] == 0.9
    assert [a["alert_id"] for a in data["alerts"]] == ["a28", "a29"]


def test_an_out_of_domain_run_says_so_even_if_it_ended_well() -> None:
    model = PageModel()
    model.apply("cam0", StatusData(source_state="online", domain="out_of_domain"))
    model.apply("cam0", StatusData(source_state="ended", domain="in_domain"))
    assert model.as_data()["sources"][0]["was_out_of_domain"] is True


def test_heartbeats_change_nothing_and_gaps_are_kept() -> None:
    model = PageModel()
    assert model.apply("cam0", HeartbeatData(last_seq=1, last_tseq={})) is None
    model.apply("cam0", GapData(cause="late", count=3, from_pts=1.0, to_pts=2.0))
    assert model.as_data()["sources"][0]["gaps"][0]["count"] == 3


def test_events_are_read_from_envelopes_alerts_and_segments(tmp_path: Path) -> None:
    import msgspec

    shown, scored = alert(source="cam7"), segment(1, 0.5)
    wrapped = Envelope(
        id="b-1",
        source="egomon://host/cam3",
        type="egomon.alert.new",
        time="2026-01-01T00:00:00.000Z",
        dataschema="egomon/alert/1",
        boot="b",
        seq=1,
        tseq=1,
        data=msgspec.Raw(encode(shown)),
    )
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([encode(wrapped), b"", encode(shown), encode(scored)]) + b"\n")
    found = list(read_events(path, source="bench"))
    assert found == [("cam3", shown), ("cam7", shown), ("bench", scored)]


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for line in (b"{}", b"[1]", b"\xff", b'{"specversion": 1}'):
        path.write_bytes(encode(alert()) + b"\n" + line + b"\n")
        with pytest.raises(DataError, match="line 2, is neither"):
            list(read_events(path))
    with pytest.raises(DataError, match="cannot read events"):
        list(read_events(tmp_path / "missing.jsonl"))


def test_a_report_is_for_its_owner_and_takes_any_file_name(tmp_path: Path) -> None:
    video = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.avi"))
    video.write_bytes(b"x")
    page = write_report([], tmp_path / "r.html", title=video.stem, video=video)
    assert page.stat().st_mode & 0o077 == 0
    assert "caf%E9.avi" in page.read_text(encoding="utf-8")
