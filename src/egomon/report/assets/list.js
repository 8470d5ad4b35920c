// The list of alerts with its filters.
class AlertList {
  constructor(store, onSelect) {
    this.store = store;
    this.onSelect = onSelect;
    this.selected = null;
    this.stills = new Map();
    for (const id of ["phase", "severity"]) byId(id).addEventListener("change", () => this.draw());
  }

  shown() {
    const [phase, severity] = [byId("phase").value, byId("severity").value];
    return this.store.alerts.filter((alert) =>
      (!severity || alert.severity === severity) &&
      (!phase || (phase === "open" ? PHASES[alert.phase] === "open" : alert.phase === phase)));
  }

  draw() {
    const shown = this.shown();
    const total = this.store.alerts.length;
    byId("count").textContent = shown.length === total ? String(total) : `${shown.length} of ${total}`;
    this.buttons = new Map();
    for (const id of this.stills.keys()) if (!this.store.pictures.has(id)) this.stills.delete(id);
    const many = this.store.sources.size > 1;
    const items = shown.map((alert) => h("li", {}, this.button(alert, many)));
    // Live: what has just happened is on top.
    byId("list").replaceChildren(...(this.store.meta.live ? items.reverse() : items));
    if (!shown.length) byId("list").append(h("li", { class: "soft" }, total ? "No alert passes the filter." : "No alerts."));
    this.mark(this.selected);
  }

  button(alert, many) {
    const where = (many ? `${alert.source} ` : "") + clock(alert.media_opened);
    const button = h("button", { type: "button", onclick: () => this.onSelect(alert) },
      alertShape(alert), h("span", {}, where), h("span", { class: "p" }, `p ${percent(alert.p)}`),
      h("span", { class: "what" }, alert.explanation),
      alert.step ? h("span", { class: "step" }, alert.step.text) : null,
      this.still(alert.alert_id));
    this.buttons.set(alert.alert_id, button);
    return button;
  }

  // Kept when the list is drawn again: a live page asks for each picture once.
  still(id) {
    const src = this.store.pictures.get(id);
    if (src && !this.stills.has(id)) this.stills.set(id, h("img", { class: "still", loading: "lazy", src, alt: "" }));
    return this.stills.get(id) || null;
  }

  mark(id, scroll = false) {
    const before = this.buttons.get(this.selected);
    if (before) before.removeAttribute("aria-current");
    this.selected = id;
    const now = this.buttons.get(id);
    if (!now) return;
    now.setAttribute("aria-current", "true");
    const list = byId("list");
    // Scrolls the list, never the page: on a phone the list lies below what is being looked at.
    if (scroll && list.scrollHeight > list.clientHeight + 1) {
      const [box, outer] = [now.getBoundingClientRect(), list.getBoundingClientRect()];
      if (box.top < outer.top || box.bottom > outer.bottom) list.scrollTop += box.top - outer.top - outer.height / 3;
    }
  }

  neighbour(direction, t) {
    const shown = this.shown();
    const at = shown.findIndex((alert) => alert.alert_id === this.selected);
    if (at >= 0) return shown[at + direction] || null;
    const later = shown.filter((alert) => alert.media_opened > t);
    return direction > 0 ? later[0] || shown[0] || null : shown[shown.length - later.length - 1] || null;
  }
}
