// "Why this alert": what was measured, in words, bars and numbers; names no model.
function meter(name, p, threshold) {
  const fill = h("span", { class: `fill ${name}` });
  fill.style.width = `${100 * Math.min(1, Math.max(0, p))}%`;
  const limit = h("span", { class: "limit", title: `threshold ${percent(threshold)}` });
  limit.style.left = `${100 * threshold}%`;
  return h("div", { class: "meter" }, h("span", {}, store.hasSecond ? SCORES[name] : "score"), h("span", { class: "track" }, fill, threshold === null ? null : limit),
    h("output", {}, percent(p)));
}

function gateBar(small, large) {
  const part = (name, weight) => {
    const element = h("span", { class: name });
    element.style.width = `${100 * weight}%`;
    return element;
  };
  const word = (name, weight) => h("span", { class: name }, `${SCORES[name]} ${weight.toFixed(2)}`);
  return h("div", {},
    h("div", { class: "gate", "aria-hidden": "true" }, part("small", small), part("large", large)),
    h("p", { class: "gate-words" }, word("small", small), word("large", large)));
}

function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", {}, rows.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]));
}

function scoreBlock(small, large, fused, gate, threshold) {
  const decided = fused === null ? "small" : "fused";
  return h("div", {},
    h("h3", {}, "Probability of a mistake"),
    meter("small", small, decided === "small" ? threshold : null),
    large !== null ? meter("large", large, null) : store.hasSecond ? h("p", { class: "soft" }, "There is no second score.") : null,
    fused === null ? null : meter("fused", fused, threshold),
    h("p", { class: "soft" }, `dashed: threshold ${percent(threshold)} of the deciding score`),
    gate === null ? null : h("h3", {}, "Weights of the scores"),
    gate === null ? null : gateBar(gate.small, gate.large));
}

function latency(alert) {
  const ms = alert.latency_ms;
  if (!ms) return null;
  const large = ms.large === null || ms.large === undefined ? "" : `, second score ${ms.large.toFixed(0)} ms`;
  return `first score ${ms.small.toFixed(0)} ms${large}, end to end ${ms.end_to_end.toFixed(0)} ms`;
}

function revisions(alert) {
  const row = (each) => h("tr", {}, h("td", {}, String(each.rev)), h("td", {}, each.phase), h("td", {}, percent(each.p)),
    h("td", {}, REASONS[each.reason] || each.reason));
  return h("table", {}, h("thead", {}, h("tr", {}, ["rev", "phase", "p", "reason"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, alert.revisions.map(row)));
}

// Where to begin looking: a second before the segment.
function leadIn(alert) {
  return Math.max(0, alert.segment.media_start - 1);
}

function whyAlert(alert, { picture, verdicts, play }) {
  const { scores, segment } = alert;
  const opened = alert.revisions[0];
  const state = `${PHASES[alert.phase]}, ${alert.state}`;
  return [
    h("p", { class: "lead" }, alert.explanation),
    h("div", { class: "chips" },
      h("span", { class: "chip" }, alertShape(alert), state), h("span", { class: "chip" }, alert.severity),
      h("span", { class: "chip" }, span(segment.media_start, alertEnd(alert))),
      alert.degraded ? h("span", { class: "chip" }, "degraded: no second score") : null,
      alert.demonstration ? h("span", { class: "chip" }, "demonstration model") : null),
    picture || play || verdicts ? h("div", { class: "moment" },
      picture ? h("img", { class: "picture", src: picture, alt: `Snapshot of the alert at ${clock(alert.media_opened)}` }) : null,
      play ? h("button", { type: "button", class: "play", onclick: () => play(leadIn(alert)) }, `▶ play from ${clock(leadIn(alert))}`) : null,
      verdicts ? verdicts(alert) : null) : null,
    opened.reason === "small_score" && !store.hasSecond ? null : h("p", {}, REASONS[opened.reason] || opened.reason),
    h("div", { class: "cols" },
      scoreBlock(scores.small.p, scores.large ? scores.large.p : null, scores.fused ?? null, scores.gate || null, scores.threshold),
      folded("Where and what", facts([
        ["step", alert.step ? `${alert.step.text} (confidence ${percent(alert.step.conf)})` : "not known"],
        ["segment", `${segment.id}: ${span(segment.media_start, segment.media_end)}, ${plural(segment.frames, "frame", "frames")}` +
          (segment.dropped ? `, ${segment.dropped} lost` : "")],
        ["opened", clock(alert.media_opened) + (alert.t ? `, ${alert.t.opened}` : "")],
        ["ends below", percent(scores.t_off)],
        ["latency", latency(alert)], ["source", alert.source],
        ["model", alert.model], ["alert", alert.alert_id],
        ["evidence", alert.evidence.map((each) => each.uri || `${each.kind} (attached to the message)`).join(", ")],
      ]))),
    folded("Life of the alert", revisions(alert)),
  ];
}

// Open in a report; on the live page a click away, so that the timeline stays in view.
function folded(title, body) {
  return h("details", { open: !store.meta.live }, h("summary", {}, title), body);
}

function whySegment(row) {
  const gate = row[ROW.gateLarge] === null ? null : { small: 1 - row[ROW.gateLarge], large: row[ROW.gateLarge] };
  const over = row[ROW.p] >= row[ROW.threshold];
  const outside = row[ROW.flags] & FLAG.outOfDomain;
  const verdict = outside ? "Out of domain: this segment cannot raise an alert."
    : over ? "At or over the threshold." : "Below the threshold: nothing looks wrong.";
  return [
    h("p", { class: "lead" }, verdict),
    h("div", { class: "chips" }, h("span", { class: "chip" }, `segment ${row[ROW.id]}`),
      h("span", { class: "chip" }, span(row[ROW.start], row[ROW.end])), h("span", { class: "chip" }, STAGES[row[ROW.stage]])),
    h("div", { class: "cols" }, scoreBlock(row[ROW.small], row[ROW.large], row[ROW.fused], gate, row[ROW.threshold]),
      h("div", {}, h("h3", {}, "Where and what"), facts([
        ["step", row[ROW.step] === null ? "not known" : `${row[ROW.step]} (confidence ${percent(row[ROW.conf])})`],
        ["frames", row[ROW.dropped] ? `${row[ROW.dropped]} lost` : "none lost"],
        ["distance", row[ROW.guard] === null ? null : `${row[ROW.guard].toFixed(2)} from the training footage`],
      ]))),
  ];
}
