// Wiring: one page, one store, one selection.
const data = JSON.parse(byId("data").textContent);
const store = new Store(data);
let current = null;
let video = null;

const timeline = new Timeline(byId("timeline"), {
  onPick: (t, alert) => {
    if (alert) selectAlert(alert);
    else selectRow(nearestRow(timeline.source.rows, t));
    if (!alert && video) video.currentTime = Math.max(0, t);
  },
  onHover: showTip,
  onMove: () => minimap.draw(),
});
const minimap = new Minimap(byId("minimap"), timeline);
const list = new AlertList(store, (alert) => selectAlert(alert));

function show(name, { fit = false } = {}) {
  current = name;
  const before = timeline.span;
  const atEnd = before && timeline.view[1] >= before[1] - 1e-6;
  const all = before && timeline.view[0] <= before[0] + 1e-6 && atEnd;
  const width = timeline.view[1] - timeline.view[0];
  const extent = store.span(name);
  timeline.show(store.source(name), store.alertsOf(name), extent);
  if (fit || all) timeline.setView(...extent);
  else if (atEnd) timeline.setView(extent[1] - width, extent[1]);
  byId("timeline").setAttribute("aria-label",
    `Scores of ${name} over ${clock(extent[1] - extent[0], 0)}, ${plural(timeline.alerts.length, "alert", "alerts")}; use n and p to step`);
  minimap.draw();
}

function selectAlert(alert, { seek = true } = {}) {
  if (alert.source !== current) {
    show(alert.source, { fit: true });
    byId("source").value = alert.source;
  }
  timeline.selection = { alert: alert.alert_id, row: nearestRow(timeline.source.rows, (alert.segment.media_start + alert.segment.media_end) / 2) };
  timeline.reveal(alert.segment.media_start, alertEnd(alert));
  timeline.draw();
  list.mark(alert.alert_id, true);
  explain(alert, "Why this alert", whyAlert(alert, { picture: store.pictures.get(alert.alert_id), verdicts: data.live ? verdictButtons : null, play: video ? playFrom : null }));
  if (seek && video) video.currentTime = leadIn(alert);
}

function playFrom(t) {
  video.currentTime = t;
  video.play().catch(() => {});
}

function selectRow(index) {
  const row = timeline.source.rows[index];
  if (!row) return;
  timeline.selection = { alert: null, row: index };
  timeline.reveal(row[ROW.start], row[ROW.end]);
  timeline.draw();
  list.mark(null);
  explain(null, "This segment", whySegment(row));
}

function explain(alert, title, body) {
  byId("why-title").textContent = title;
  byId("why-body").replaceChildren(...body.filter(Boolean));
}

function selectedAlert() {
  return store.byId.get(timeline.selection.alert) || null;
}

function step(direction) {
  const t = timeline.source.rows[timeline.selection.row]?.[ROW.end] ?? timeline.view[0];
  const alert = list.neighbour(direction, t);
  if (alert) selectAlert(alert);
}

function stepRow(direction) {
  const rows = timeline.source.rows;
  const from = timeline.selection.row < 0 ? firstAfter(rows, timeline.view[0]) - direction : timeline.selection.row;
  selectRow(Math.min(rows.length - 1, Math.max(0, from + direction)));
  if (video) video.currentTime = rows[timeline.selection.row]?.[ROW.start] ?? 0;
}

function selectAtCursor() {
  if (video) {
    if (video.paused) video.play().catch(() => {});
    else video.pause();
    return;
  }
  const row = timeline.source.rows[timeline.selection.row];
  const t = row ? (row[ROW.start] + row[ROW.end]) / 2 : (timeline.view[0] + timeline.view[1]) / 2;
  const alert = timeline.alerts.find((each) => each.segment.media_start <= t && t <= alertEnd(each));
  if (alert) selectAlert(alert);
  else selectRow(nearestRow(timeline.source.rows, t));
}

const KEYS = {
  n: () => step(1), p: () => step(-1), ArrowRight: () => stepRow(1), ArrowLeft: () => stepRow(-1), " ": selectAtCursor,
  "+": () => timeline.zoom(0.5), "=": () => timeline.zoom(0.5), "-": () => timeline.zoom(2), 0: () => timeline.setView(...timeline.span),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tag = event.target.tagName;
  if (tag === "SELECT" || tag === "INPUT" || (tag === "VIDEO" && event.key !== "n" && event.key !== "p")) return;
  if (tag === "BUTTON" && event.key === " ") return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

function showTip(x, t) {
  const tip = byId("tip");
  const index = x === null ? -1 : nearestRow(timeline.source.rows, t);
  const row = timeline.source.rows[index];
  tip.hidden = !row;
  if (!row) return;
  tip.textContent = `${clock(t)}  p ${percent(row[ROW.p])} (${row[ROW.stage]})` + (row[ROW.step] === null ? "" : `\n${row[ROW.step]}`);
  tip.style.left = `${Math.min(Math.max(0, x + 12), Math.max(0, timeline.width - 200))}px`;
}

function fillHeader() {
  byId("title").textContent = data.title;
  const names = [...store.sources.keys()];
  const seconds = names.reduce((sum, name) => sum + (store.source(name).rows.length ? store.span(name)[1] - store.span(name)[0] : 0), 0);
  const segments = names.reduce((sum, name) => sum + store.source(name).rows.length, 0);
  const open = store.alerts.filter((alert) => PHASES[alert.phase] === "open").length;
  const retracted = store.alerts.filter((alert) => alert.phase === "retract").length;
  byId("summary").textContent = [
    `${clock(seconds, 0)} scored`, plural(segments, "segment", "segments"),
    plural(store.alerts.length, "alert", "alerts") + (open || retracted ? ` (${open} open, ${retracted} retracted)` : ""),
    ...names.filter((name) => store.source(name).status).slice(0, 4).map((name) => `${name} ${store.source(name).status.source_state}`),
  ].join(" · ");
  fillBanners(names);
  const second = store.hasSecond;
  if (byId("legend").dataset.second !== String(second)) fillLegend(byId("legend"), { second });
  const select = byId("source");
  if (select.options.length !== names.length) select.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
  byId("source-label").hidden = names.length < 2;
}

function fillBanners(names) {
  const banners = [];
  for (const name of names) {
    const { status, wasOutOfDomain } = store.source(name);
    const isOutside = data.live ? status?.domain === "out_of_domain" : wasOutOfDomain;
    if (isOutside) banners.push(`${name}: out of domain. ${OUT_OF_DOMAIN}`);
    if (status && status.degraded) banners.push(`${name}: degraded. There are no second scores; the first score of a segment decides.`);
    if (status && status.error) banners.push(`${name}: ${status.error.code}: ${status.error.message}`);
  }
  if (store.meta.demonstration ?? store.alerts.some((alert) => alert.demonstration)) banners.push(DEMONSTRATION);
  const box = byId("banners");
  if (box.dataset.text === banners.join("\n")) return;
  box.dataset.text = banners.join("\n");
  box.replaceChildren(...banners.map((text) => h("p", { class: "banner", role: "status" }, text)));
}

function showAbout() {
  const about = Object.entries(store.meta.bundle || {}).map(([key, value]) => `${key}: ${value}`).join(" · ");
  byId("about").textContent = [about, "Made by egomon."].filter(Boolean).join(" · ");
}

function addVideo() {
  if (!data.video) return;
  video = h("video", { src: data.video.src, controls: true, preload: "metadata", playsinline: true, "aria-label": `Recording ${data.video.name}` });
  video.muted = true;
  const box = byId("media");
  box.hidden = false;
  byId("main").classList.add("with-media");
  box.replaceChildren(video);
  video.addEventListener("timeupdate", () => { timeline.playhead = video.currentTime; timeline.draw(); });
  video.addEventListener("error", () => {
    box.append(h("p", {}, `${data.video.name} cannot be played here: keep it where it was when the page was written, or open the page in a browser that knows its codec.`));
  });
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  timeline.draw();
  minimap.draw();
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
setTheme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
byId("zoom-in").addEventListener("click", () => timeline.zoom(0.5));
byId("zoom-out").addEventListener("click", () => timeline.zoom(2));
byId("zoom-fit").addEventListener("click", () => timeline.setView(...timeline.span));
byId("source").addEventListener("change", (event) => {
  timeline.selection = { alert: null, row: -1 };
  list.mark(null);
  show(event.target.value, { fit: true });
});

