// Teaching on the page: record correct runs, learn, name the steps; a word on what went wrong.
const KINDS = Object.freeze({
  missing: "something was left out", repeated: "something was done again",
  stopped: "the work was begun anew too early", foreign: "something else was done",
  long: "a step took too long",
});
const MIB = 1 << 20;

class LearnView {
  constructor(store, box, { act, redraw }) {
    Object.assign(this, { store, box, act, redraw });
    this.began = 0;
    this.recordButton = h("button", { type: "button", id: "record", onclick: () => this.record() });
    this.learnButton = h("button", { type: "button", id: "learn-now", onclick: () => act("learn") }, "Learn");
    this.undoButton = h("button", { type: "button", id: "undo", onclick: () => act("undo") }, "Undo the last change");
    this.told = h("p", { id: "learned", role: "status" });
    this.runs = h("ul", { class: "runs" });
    this.where = h("p", { class: "soft" });
    this.steps = new StepList(act);
    this.missed = h("form", { id: "missed", onsubmit: (event) => this.sendMissed(event) });
    box.append(h("summary", {}, "Teach"), this.told, h("div", { class: "buttons" }, this.recordAgain(), this.undoButton),
      this.runs, this.where, this.steps.form, this.missed);
    document.addEventListener("keydown", (event) => this.onKey(event), true);
    setInterval(() => { if (this.state.phase === "recording") redraw(); }, 1000);
  }

  get state() {
    return this.store.meta.learn || {};
  }

  get isLeading() {
    const { phase, learned } = this.state;
    return Boolean(phase) && (phase !== "idle" || !learned);
  }

  // The same as the button on top, for those who look here.
  recordAgain() {
    this.panelRecord = h("button", { type: "button", onclick: () => this.record() });
    this.panelLearn = h("button", { type: "button", onclick: () => this.act("learn") }, "Learn");
    return [this.panelRecord, this.panelLearn];
  }

  record() {
    return this.act("record", { source: this.source });
  }

  // Any key is the pedal while runs are recorded; keys that move or press something stay as they are.
  onKey(event) {
    const other = event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.key.length > 1 && !["Enter", "PageDown", "PageUp", "ArrowRight", "ArrowLeft"].includes(event.key);
    const recording = this.state.phase === "recording";
    if (other || !(recording || (this.isLeading && this.leads)) || this.state.phase === "learning") return;
    if (event.target.closest?.("select, input, textarea")) return;
    if (["Enter", " "].includes(event.key) && event.target.closest?.("button, a, summary")) return;
    event.preventDefault();
    event.stopPropagation();
    this.record();
  }

  // What stands on top while a person is led; null where there is nothing to lead to. It comes
  // before a mistake (`first`) unless what was learned from this person tells it.
  lead(source) {
    this.source = source;
    const { phase, runs, enough, learned, wanted, what, share } = this.state;
    this.leads = false;
    if (!phase) return null;
    if (phase !== "recording") this.began = 0;
    else this.began ||= performance.now();
    if (phase === "recording") {
      const seconds = clock((performance.now() - this.began) / 1000, 0);
      return { kind: "recording", first: true, word: `Recording run ${runs.length + 1}  ${seconds}`, more: "Do the work from beginning to end, correctly. Any key ends the run." };
    }
    if (phase === "learning") return { kind: "idle", first: !learned, word: "Learning", more: `${what}: ${Math.round(100 * share)} %` };
    const status = this.store.source(source).status;
    if (learned || !status || status.source_state !== "online" || (status.domain === "in_domain" && !wanted)) return null;
    this.leads = true;
    const count = runs.length;
    if (count === 0) return { kind: "idle", first: true, word: "Show one correct run", more: "Any key, or Record, begins; do the work once from beginning to end; any key ends it. Three runs are enough." };
    if (count < enough) return { kind: "idle", first: true, word: `${plural(count, "run is", "runs are")} recorded`, more: `Record ${enough - count} more: any key begins the next one.` };
    return { kind: "idle", first: true, word: `${count} runs are recorded`, more: "Now press Learn. More runs can be added later." };
  }

  draw() {
    const { phase, runs, bytes, most_bytes: most, enough, folder, verdict, sentence, learned } = this.state;
    const taught = Boolean(this.store.meta.taught);
    this.box.hidden = !phase && !taught;
    this.missed.hidden = this.undoButton.hidden = !taught;
    for (const button of [this.recordButton, this.panelRecord]) {
      button.textContent = phase === "recording" ? "Stop" : "Record a run";
      button.disabled = phase === "learning";
    }
    const canLearn = phase === "idle" && runs.length > 0;
    this.learnButton.disabled = this.panelLearn.disabled = !canLearn;
    this.panelRecord.hidden = this.panelLearn.hidden = this.where.hidden = !phase;
    this.recordButton.hidden = !this.isLeading || !(this.leads || phase === "recording");
    this.learnButton.hidden = !this.leads || runs.length < enough;
    this.told.textContent = sentence || "";
    this.told.dataset.verdict = verdict || "";
    const key = JSON.stringify([this.state, this.store.meta.workflow, taught]);
    if (key === this.drawn) return;
    this.drawn = key;
    if (phase) {
      this.runs.replaceChildren(...runs.map((run) => h("li", {}, `${run.name}, ${(run.bytes / MIB).toFixed(1)} MiB`,
        h("button", { type: "button", "aria-label": `Delete ${run.name}`, disabled: phase !== "idle", onclick: () => this.act("delete-run", { name: run.name }) }, "Delete"))));
      this.where.textContent = `${folder}: ${(bytes / MIB).toFixed(1)} of ${Math.round(most / MIB)} MiB` + (learned ? "; learned" : "");
    }
    const steps = this.store.meta.workflow || [];
    this.steps.draw(steps, { shown: Boolean(phase) && learned, idle: phase === "idle", runs: (runs || []).map((run) => run.name) });
    this.drawMissed(steps);
  }

  drawMissed(steps) {
    const key = JSON.stringify(steps.map((step) => [step.id, step.name]));
    if (key === this.missedKey) return;
    this.missedKey = key;
    const options = (pairs) => pairs.map(([value, text]) => h("option", { value }, text));
    this.missed.replaceChildren(h("h2", {}, "You missed one"),
      h("select", { name: "kind", "aria-label": "What happened" }, options(Object.entries(KINDS))),
      h("select", { name: "step", "aria-label": "At which step" }, options([["", "at any step"], ...steps.map((step) => [step.id, `at ${step.name}`])])),
      h("button", { type: "submit" }, "Teach it"));
  }

  async sendMissed(event) {
    event.preventDefault();
    const form = new FormData(this.missed);
    await this.act("missed", { kind: form.get("kind"), step: form.get("step") || null });
  }
}
