// The live page: changes as they come, the camera's picture, and a person's verdicts.
const VERDICTS = Object.freeze({ true: "✓ a mistake", false: "✗ not a mistake", unsure: "? unsure" });
let lastFollowed = null;
const stateView = new StateView(store);
const sound = new Sound(data.tones, act);
const learnView = new LearnView(store, byId("teach"), { act, redraw: () => drawState() });
const verdicts = new Map(Object.entries(data.verdicts || {}));
const seenAlerts = new Set(data.seen || []);

function startLive(first) {
  lastFollowed = first ? first.alert_id : null;
  startState();
  const state = h("span", { class: "chip", role: "status" }, "connecting");
  document.querySelector(".tools").prepend(state);
  const events = new EventSource("events");
  let due = false;
  const redraw = () => {
    due = false;
    settle();
    fillHeader();
    show(current);
    showPicture();
    showAbout();
    drawState();
    const stats = store.source(current).stats;
    state.textContent = stats ? `● live ${clock(stats.media_seconds, 0)} · ${stats.fps.toFixed(1)} fps` : "● live";
  };
  const ask = () => {
    if (!due) setTimeout(redraw, 200);
    due = true;
  };
  events.onopen = () => {
    state.textContent = "● live";
    stateView.isAway = false;
    ask();
  };
  events.onerror = () => {
    state.textContent = "! connection lost, trying again";
    if (!stateView.isAway) sound.tell("lost", "The monitor does not answer.");
    stateView.isAway = true;
    stateView.draw(current);
  };
  events.onmessage = (event) => {
    const change = JSON.parse(event.data);
    if (change.kind === "reload") location.reload();
    else if (change.kind === "verdict") setVerdict(change.alert_id, change.verdict);
    else if (change.kind === "seen") hearSeen(change.alerts);
    else if (change.kind === "snapshot") {
      const known = new Set(store.byId.keys());
      store.load(change.data);
      hearSeen(change.data.seen);
      store.alerts.filter((alert) => !known.has(alert.alert_id) && isOpenNews(alert)).forEach(hearAlert);
      for (const [id, verdict] of Object.entries(change.data.verdicts)) verdicts.set(id, verdict);
      list.draw();
    } else {
      if (change.kind === "status") hearStatus(change);
      store.apply(change);
      if (change.kind === "alert") onAlert(change.alert);
      drawState();
    }
    if (change.kind === "field" && change.name === "told") byId("told").textContent = change.value;
    ask();
  };
}

// A new alert is shown unless a person is looking at another one.
function onAlert(alert) {
  hearAlert(alert);
  list.draw();
  const shown = selectedAlert();
  const isShown = shown && shown.alert_id === alert.alert_id;
  const idle = timeline.selection.row < 0 || (shown && shown.alert_id === lastFollowed);
  if (isShown || (alert.rev === 1 && idle)) {
    lastFollowed = alert.alert_id;
    selectAlert(alert, { seek: false });
  }
}

// Before any camera is known something nameless is drawn; it goes when the first one comes.
function settle() {
  const known = [...store.sources.values()].filter((each) => each.status || each.stats || each.rows.length).map((each) => each.name);
  if (!known.length || known.includes(current)) return;
  store.sources.delete(current);
  current = known[0];
}

function drawState() {
  settle();
  const lead = learnView.lead(current);
  byId("banners").hidden = Boolean(lead);
  if (byId("cycle")) byId("cycle").hidden = Boolean(lead);
  learnView.draw();
  sound.muteUntil(1000 * (store.meta.muted_until || 0));
  sound.muteButton.hidden = Boolean(lead) && !sound.isMuted;
  stateView.draw(current, lead);
}

function hearAlert(alert) {
  const isNews = alert.phase === "new" || alert.phase === "retract";
  stateView.hear(alert, sound.repeats);
  if (isNews) sound.tell(alert.phase === "new" ? "open" : "retracted", alert.phase === "new" ? `Mistake. ${alert.explanation}` : "It was no mistake after all.");
}

// Somebody has seen these, on this page or another: none of them is news any more.
function hearSeen(ids) {
  ids.forEach((id) => seenAlerts.add(id));
  if (!stateView.alarm || !seenAlerts.has(stateView.alarm.alert_id)) return;
  sound.hush();
  stateView.seen();
}

function isOpenNews(alert) {
  return PHASES[alert.phase] === "open" && !seenAlerts.has(alert.alert_id);
}

function hearStatus({ source, status }) {
  const before = store.source(source).status || {};
  const isLost = (each) => LOST.includes(each.source_state);
  if (isLost(status) && !isLost(before)) sound.tell("lost", `Camera lost: ${source}.`);
  else if (status.domain === "out_of_domain" && before.domain !== "out_of_domain") sound.tell("outside", "This is unlike the taught work; no mistakes are reported.");
}

function startState() {
  document.body.classList.toggle("kiosk", new URLSearchParams(location.search).has("kiosk"));
  byId("seen").addEventListener("click", () => {
    const ids = store.alerts.filter(isOpenNews).map((alert) => alert.alert_id);
    if (stateView.alarm) ids.push(stateView.alarm.alert_id);
    const alerts = [...new Set(ids)].slice(-100);
    if ((data.actions || []).includes("seen")) act("seen", { alerts });
    hearSeen(alerts);
  });
  byId("state-tools").append(...sound.controls);
  const open = store.alerts.filter(isOpenNews).pop();
  if (open) stateView.alarm = open;
  const canBegin = (data.actions || []).includes("cycle");
  if (canBegin) {
    byId("state-tools").append(h("button", { type: "button", id: "cycle", onclick: () => act("cycle", { source: current }) }, "New cycle"));
  }
  byId("state-tools").prepend(learnView.recordButton, learnView.learnButton);
  drawState();
}

// Asks the monitor for something; its answer is one sentence.
async function act(name, fields = {}) {
  let answer = { ok: false, told: "The monitor does not answer; try again." };
  try {
    const reply = await fetch(`do/${name}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields),
    });
    answer = { ok: reply.ok, told: await reply.text() };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  byId("told").textContent = answer.told;
  return answer;
}

function showPicture() {
  const box = byId("media");
  if (!data.camera || !store.sources.get(current)?.status || box.dataset.source === current) return;
  box.dataset.source = current;
  box.hidden = false;
  byId("main").classList.add("with-media");
  const picture = h("img", { src: `frame/${encodeURIComponent(current)}`, alt: `Camera ${current}` });
  box.replaceChildren(picture);
}

function verdictButtons(alert) {
  const id = alert.alert_id;
  const buttons = Object.entries(VERDICTS).map(([verdict, text]) => h("button", {
    type: "button", "data-verdict": verdict, "data-alert": id, "aria-pressed": String(verdicts.get(id) === verdict),
    onclick: () => sendVerdict(id, verdict),
  }, text));
  return h("div", { class: "verdicts", role: "group", "aria-label": "Was it right?" },
    h("span", {}, "Was it right?"), buttons, h("span", { class: "soft", role: "status", id: "verdict-note" }));
}

async function sendVerdict(id, verdict) {
  let note = "The monitor does not answer; try again.";
  try {
    const reply = await fetch("feedback", {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ alert_id: id, verdict }),
    });
    note = reply.ok ? "Stored; egomon can learn from it." : await reply.text();
    if (reply.ok) setVerdict(id, verdict);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  if (byId("verdict-note")) byId("verdict-note").textContent = note;
}

function setVerdict(id, verdict) {
  verdicts.set(id, verdict);
  for (const button of document.querySelectorAll("button[data-verdict]")) {
    if (button.dataset.alert === id) button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
  }
}
