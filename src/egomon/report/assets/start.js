// Runs last: draws the page for the first time.
fillHeader();
fillLegend(byId("legend"));
addVideo();
list.draw();
show([...store.sources.keys()][0] || "source", { fit: true });
const about = Object.entries(data.bundle || {}).map(([key, value]) => `${key}: ${value}`).join(" · ");
byId("about").textContent = [about, "Made by egomon."].filter(Boolean).join(" · ");
const first = data.live ? store.alerts[store.alerts.length - 1] : store.alerts[0];
if (first) selectAlert(first, { seek: false });
else byId("why-body").replaceChildren(h("p", { class: "soft" }, "Nothing is selected: click the timeline to see why a segment scored as it did."));
if (data.live) startLive(first);
