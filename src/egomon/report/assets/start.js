// Runs last: draws the page for the first time.
fillHeader();
addVideo();
list.draw();
show([...store.sources.keys()][0] || "source", { fit: true });
showAbout();
const first = data.live ? store.alerts[store.alerts.length - 1] : store.alerts[0];
if (first) selectAlert(first, { seek: false });
else byId("why-body").replaceChildren(h("p", { class: "soft" }, "Nothing is selected: click the timeline to see why a segment scored as it did."));
if (data.live) startLive(first);
