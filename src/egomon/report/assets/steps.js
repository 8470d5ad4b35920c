// The steps that were learned: name them, say which may be left out, make one of two or two of one.
class StepList {
  constructor(act) {
    this.act = act;
    this.form = h("form", { id: "steps", onsubmit: (event) => { event.preventDefault(); this.save(); } });
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.open) this.close();
    });
    this.open = null;
  }

  // Drawn again only when something has changed, so that what a person types stays.
  draw(steps, { shown, idle, runs }) {
    const key = JSON.stringify([steps, shown, idle, runs]);
    if (key === this.key) return;
    this.key = key;
    Object.assign(this, { steps, idle, runs, open: null });
    this.form.hidden = !shown || !steps.length;
    const focused = document.activeElement?.dataset?.key;
    const rows = steps.map((step, i) => this.row(step, i));
    this.form.replaceChildren(h("h2", {}, "Steps"), h("ol", {}, rows),
      h("button", { type: "submit", disabled: !idle }, "Save the steps"));
    if (focused) this.form.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  row(step, i) {
    const button = (what, text, label, onclick) => h("button", {
      type: "button", "data-key": `${step.id} ${what}`, "aria-label": label, disabled: !this.idle, onclick,
    }, text);
    const next = this.steps[i + 1];
    const canChange = this.pieces(step).length > 0;
    return h("li", { "data-id": step.id },
      step.picture ? h("img", { src: step.picture, alt: "" }) : null,
      h("input", { type: "text", value: step.name, maxlength: "60", required: true, "data-key": `${step.id} name`, "aria-label": `Name of ${step.name}` }),
      h("label", {}, h("input", { type: "checkbox", checked: step.optional, "data-key": `${step.id} optional` }), " may be left out"),
      canChange ? h("div", { class: "buttons" },
        next && this.steps.length > 2 ? button("merge", "Merge with next", `Merge with next: ${step.name}, ${next.name}`, () => this.change("merge", { step: step.id })) : null,
        button("split", "Split…", `Split… ${step.name}`, () => this.split(step))) : null,
      h("div", { class: "split", hidden: true }));
  }

  // Of the runs that are still there: when the step was done.
  pieces(step) {
    return (step.runs || []).filter((piece) => this.runs.includes(piece.name));
  }

  split(step) {
    if (this.open) this.close();
    this.open = step.id;
    const box = this.box(step.id);
    const pieces = this.pieces(step);
    const film = h("video", { controls: true, playsinline: true, preload: "metadata", "aria-label": `${step.name} in a run` });
    film.muted = true;
    const where = h("output", {});
    let piece = pieces[0];
    const play = (name) => {
      piece = pieces.find((each) => each.name === name);
      film.src = `run/${encodeURIComponent(name)}#t=${piece.start},${piece.end}`;
      tell();
    };
    const at = () => Math.min(piece.end, Math.max(piece.start, film.currentTime));
    const tell = () => { where.textContent = `at ${clock(at())}; the step lasts from ${clock(piece.start)} to ${clock(piece.end)}`; };
    const select = h("select", { "aria-label": "Run that is shown", onchange: (event) => play(event.target.value) },
      pieces.map((each) => h("option", { value: each.name }, each.name)));
    film.addEventListener("timeupdate", tell);
    play(piece.name);
    box.hidden = false;
    box.replaceChildren(film, h("div", { class: "buttons" }, select, where),
      h("div", { class: "buttons" },
        h("button", { type: "button", class: "here", onclick: () => this.change("split", { step: step.id, run: piece.name, seconds: at() }) }, "Split here"),
        h("button", { type: "button", class: "middle", onclick: () => this.change("split", { step: step.id }) }, "Split in the middle"),
        h("button", { type: "button", onclick: () => this.close() }, "Cancel")));
    box.querySelector(".here").focus({ preventScroll: true });
    box.scrollIntoView({ block: "nearest" });
  }

  close() {
    const id = this.open;
    this.open = null;
    this.box(id).replaceChildren();
    this.box(id).hidden = true;
    this.form.querySelector(`[data-key="${CSS.escape(`${id} split`)}"]`)?.focus({ preventScroll: true });
  }

  box(id) {
    return this.form.querySelector(`[data-id="${CSS.escape(id)}"] .split`);
  }

  get rows() {
    return [...this.form.querySelectorAll("li")].map((row) => ({
      id: row.dataset.id, name: row.querySelector("[type=text]").value, optional: row.querySelector("[type=checkbox]").checked,
    }));
  }

  save() {
    return this.act("steps", { steps: this.rows });
  }

  // What was typed and not saved would be lost: it is saved first.
  async change(name, fields) {
    const typed = this.rows.some((row, i) => row.name !== this.steps[i].name || row.optional !== this.steps[i].optional);
    if (typed && !(await this.save()).ok) return;
    await this.act(name, fields);
  }
}
