// Words and numbers; the same words as in the terminal and in the documentation.
const OUT_OF_DOMAIN = "This footage is unlike what the model was trained on, so no mistakes are " +
  "reported for it; teach it your work with `egomon teach`. If you did: this place differs from the " +
  "recordings; add one run from here with `egomon teach --add`.";
const DEMONSTRATION = "The model is a demonstration: it shows how egomon works and is not meant for real work.";
const REASONS = Object.freeze({
  small_score: "The first score was clear enough; no second score was needed.",
  refined: "A second score was added, and both together confirmed the mistake.",
  refine_expired: "The second score did not come in time, so the first one decided.",
  breaker_open: "The second score is paused after repeated failures, so the first one decided.",
  severity_raised: "A later segment of the same event scored higher.",
  evidence_ready: "A picture or clip was added.",
  described: "A vision model said what the pictures show.",
  below_t_off: "The scores fell below the level at which an alert ends.",
  source_lost: "The source was away for too long.",
  source_ended: "The recording or stream ended.",
  monitor_restarted: "The monitor restarted and closed what it had left open.",
  shutdown: "The monitor was stopped.",
  context_reset: "A new workflow was begun.",
  out_of_domain: "The footage left the domain that the model knows.",
  refined_below_threshold: "A second score did not confirm the mistake, so the alert was taken back.",
});
const PHASES = Object.freeze({ new: "open", update: "open", end: "ended", retract: "retracted" });
const STAGES = Object.freeze({
  small: "first score", fused: "both scores, weighted",
  expired: "first score: the second was too late",
});

const SCORES = Object.freeze({ small: "first score", large: "second score", fused: "both, weighted" });

function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const ticks = Math.floor(Math.max(0, seconds) * scale + 1e-6);
  const whole = Math.floor(ticks / scale);
  const pad = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const body = `${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
  const fraction = digits ? `.${String(ticks % scale).padStart(digits, "0")}` : "";
  return (hours ? `${hours}:` : "") + body + fraction;
}

function span(start, end) {
  return `${clock(start)}–${clock(end)}`;
}

function percent(p) {
  return p === null || p === undefined ? "–" : p.toFixed(2);
}

function plural(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}

// An element. Strings become text nodes, never markup: they come from the wire.
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}
