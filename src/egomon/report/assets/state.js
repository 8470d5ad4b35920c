// The state on top of the live page: one word that is readable from three metres, and the steps.
const HOLD_MS = 12000;
const SURE = 0.5;
const LOST = Object.freeze(["stalled", "reconnecting", "offline"]);

// Indices of the steps that an alert says were not seen.
function absentOf(alert, steps) {
  return (alert.missing_steps || []).map((id) => steps.findIndex((step) => step.id === id)).filter((i) => i >= 0);
}

// What has been done since the work began, from the steps of the segments: indices of `steps`.
// An alert knows better what was not: its step counts only if it is seen again, and the alert over.
function progressOf({ rows, cycleStart: since }, steps, alerts) {
  const numbers = new Map(steps.map((step, i) => [step.name, i]));
  const needed = steps.map((step, i) => i).filter((i) => !steps[i].optional);
  const told = alerts.filter((alert) => PHASES[alert.phase] !== "retracted" && alert.media_opened >= since)
    .map((alert) => ({ at: alert.media_opened, open: PHASES[alert.phase] === "open", absent: absentOf(alert, steps) }))
    .sort((a, b) => a.at - b.at);
  let done = new Set();
  let missing = new Set();
  let now = -1;
  let heard = 0;
  const deny = ({ absent }) => absent.forEach((i) => {
    done.delete(i);
    missing.add(i);
  });
  for (const row of rows) {
    while (heard < told.length && told[heard].at <= row[ROW.start]) deny(told[heard++]);
    const i = numbers.get(row[ROW.step]);
    if (i === undefined || row[ROW.conf] < SURE || row[ROW.flags] & FLAG.outOfDomain || row[ROW.start] < since) continue;
    if (i === now) continue;
    if (now >= 0 && !missing.has(now)) done.add(now);
    if (i === 0 && needed.every((each) => done.has(each) || missing.has(each))) [done, missing] = [new Set(), new Set()];
    missing.delete(i);
    now = i;
  }
  told.filter((each, k) => k >= heard || each.open).forEach(deny);
  const next = steps.findIndex((step, i) => i > now && !done.has(i) && !step.optional);
  return { done, missing, now, next };
}

// A step that nobody named has its number as its name: it is not said twice.
const numbered = (step, i) => (step.name === `step ${i + 1}` ? step.name : `${i + 1} ${step.name}`);

// The state in words, the most urgent first. `alarm` is the alert that a person should know of.
function stateOf(store, name, steps, alarm, lead) {
  const names = [...store.sources.keys()];
  const where = (each) => (names.length > 1 ? `${each}: ` : "");
  if (alarm && !(lead && lead.first)) {
    const over = alarm.phase === "retract";
    return { kind: over ? "retracted" : "mistake", word: over ? "No mistake after all" : "Mistake", more: where(alarm.source) + alarm.explanation };
  }
  const lost = names.find((each) => LOST.includes(store.source(each).status?.source_state));
  if (lost !== undefined) {
    const { error } = store.source(lost).status;
    return { kind: "lost", word: "Camera lost", more: where(lost) + (error ? error.message : "No picture comes; it is opened again as soon as it is there.") };
  }
  const { status } = store.source(name);
  if (lead) return lead;
  if (!status || status.source_state === "connecting") return { kind: "idle", word: "Starting", more: status ? "The models are loading." : "Waiting for the camera." };
  if (status.source_state === "ended") return { kind: "idle", word: "Ended", more: "The recording or stream is over." };
  if (status.domain === "out_of_domain") return { kind: "outside", word: "Out of domain", more: where(name) + "This is unlike the taught work, so no mistakes are reported." };
  const at = progressOf(store.source(name), steps, store.alertsOf(name));
  if (at.now < 0) return { kind: "watching", word: "Watching", more: steps.length ? `Begins with: ${steps[0].name}` : "" };
  const next = at.next < 0 ? "" : `next: ${steps[at.next].name}`;
  return { kind: "watching", word: stepWord(steps, at.now), more: next };
}

function stepWord(steps, i) {
  const { name } = steps[i];
  return `Step ${i + 1} of ${steps.length}` + (name === `step ${i + 1}` ? "" : `: ${name}`);
}

const AWAY = Object.freeze({ kind: "lost", word: "No connection", more: "The monitor does not answer; this page tries again." });
const SIGNS = Object.freeze({ mistake: "open", retracted: "retracted", lost: "cut", outside: "outside", watching: "tick", idle: "small", recording: "small" });

class StateView {
  constructor(store) {
    this.store = store;
    this.steps = [];
    this.alarm = null;
    this.timer = 0;
    this.drawn = "";
  }

  // An alert has come; those of a page that has just been loaded are no news.
  hear(alert, untilSeen = false) {
    const isNews = alert.rev === 1 || (this.alarm && this.alarm.alert_id === alert.alert_id);
    if (!isNews) return;
    this.alarm = alert;
    clearTimeout(this.timer);
    const open = PHASES[alert.phase] === "open";
    if (!open && !untilSeen) this.timer = setTimeout(() => this.seen(), HOLD_MS);
  }

  seen() {
    clearTimeout(this.timer);
    this.alarm = null;
    this.draw();
  }

  draw(name = this.name, lead = this.lead) {
    Object.assign(this, { name, lead });
    this.steps = this.store.meta.workflow || [];
    const state = this.isAway ? AWAY : stateOf(this.store, name, this.steps, this.alarm, lead);
    const box = byId("state");
    box.hidden = false;
    byId("seen").hidden = !this.alarm;
    const text = JSON.stringify(state);
    if (text !== this.drawn) {
      this.drawn = text;
      box.className = state.kind;
      byId("state-sign").replaceChildren(shape(SIGNS[state.kind], "sign"));
      byId("state-word").textContent = state.word;
      byId("state-more").textContent = state.more;
      document.title = `${state.kind === "mistake" ? "! " : ""}${state.word} - ${this.store.meta.title}`;
    }
    this.drawTrack();
    return state.kind;
  }

  drawTrack() {
    const { done, missing, now, next } = progressOf(this.store.source(this.name), this.steps, this.store.alertsOf(this.name));
    const key = JSON.stringify([this.steps, [...done], [...missing], now, next]);
    if (key === this.trackKey) return;
    this.trackKey = key;
    const items = this.steps.map((step, i) => {
      const mark = i === now ? "now" : done.has(i) ? "done" : missing.has(i) ? "not seen" : i === next ? "next" : i < now && !step.optional ? "not seen" : "";
      return h("li", { class: mark.replace(" ", "-"), "aria-current": i === now ? "step" : null },
        step.picture ? h("img", { src: step.picture, alt: "" }) : h("span", { class: "blank", "aria-hidden": "true" }, String(i + 1)),
        h("span", { class: "name" }, numbered(step, i)), h("span", { class: "mark" }, mark));
    });
    const track = byId("track");
    track.hidden = !items.length;
    track.replaceChildren(...items);
    const here = track.querySelector(".now");
    if (here) track.scrollLeft = here.offsetLeft - track.clientWidth / 3;
  }
}
