// Words and numbers; the same words as in the terminal and in the documentation.
const OUT_OF_DOMAIN = "This footage is unlike what the model was trained on, so no mistakes are " +
  "reported for it; teach it your work with `egomon teach`.";
const DEMONSTRATION = "The model is a demonstration: it shows how egomon works and is not meant for real work.";
const REASONS = Object.freeze({
  small_score: "The small branch alone was sure enough; the large branch was not asked.",
  refined: "The large branch was asked; the gate weighed both branches and confirmed the mistake.",
  refine_expired: "The large branch did not answer in time, so the small branch decided alone.",
  breaker_open: "The large branch had failed repeatedly and was paused, so the small branch decided alone.",
  severity_raised: "A later segment of the same event scored higher.",
  evidence_ready: "A picture or clip was added.",
  below_t_off: "The scores fell below the level at which an alert ends.",
  source_lost: "The source was away for too long.",
  source_ended: "The recording or stream ended.",
  monitor_restarted: "The monitor restarted and closed what it had left open.",
  shutdown: "The monitor was stopped.",
  context_reset: "A new workflow was begun.",
  out_of_domain: "The footage left the domain that the model knows.",
  refined_below_threshold: "The large branch was asked and did not confirm it, so the alert was taken back.",
});
const PHASES = Object.freeze({ new: "open", update: "open", end: "ended", retract: "retracted" });
const STAGES = Object.freeze({
  small: "small branch alone", fused: "both branches, weighed by the gate",
  expired: "small branch alone: the large one was too late",
});

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
