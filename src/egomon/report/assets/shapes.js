// Signs that mean the same in the legend, the list and the timeline, by shape as well as colour.
const SVG = "http://www.w3.org/2000/svg";
const SHAPES = Object.freeze({
  open: "M8 2 L15 14 L1 14 Z",
  ended: "M2.5 2.5 H13.5 V13.5 H2.5 Z",
  retracted: "M3 3 L13 13 M13 3 L3 13",
  small: "M8 4 A4 4 0 1 1 7.99 4 Z",
  large: "M8 14 L2 4 L14 4 Z",
  fused: "M8 1 L15 8 L8 15 L1 8 Z",
  threshold: "M0 8 H6 M10 8 H16",
  tick: "M2 9 L6 13 L14 3",
  cut: "M2 4 H11 V12 H2 Z M11 7 L15 5 V11 L11 9 M1 15 L15 1",
  outside: "M1 15 L15 1 M1 8 L8 1 M8 15 L15 8",
});

function shape(name, colour, { hollow = false, label = "" } = {}) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "shape");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  const line = hollow || ["retracted", "threshold", "outside", "tick", "cut"].includes(name);
  path.setAttribute("fill", line ? "none" : `var(--${colour})`);
  path.setAttribute("stroke", `var(--${colour})`);
  path.setAttribute("stroke-width", line ? "2.4" : "1");
  svg.append(path);
  return svg;
}

function alertShape(alert) {
  const name = PHASES[alert.phase];
  const hollow = alert.severity === "notice";
  return shape(name, name === "retracted" ? "soft" : "bad", { hollow, label: `${name}, ${alert.severity}` });
}

const canvasPaths = new Map();
function canvasShape(g, name, x, y, size, colour, hollow) {
  if (!canvasPaths.has(name)) canvasPaths.set(name, new Path2D(SHAPES[name]));
  g.save();
  g.translate(x - size / 2, y - size / 2);
  g.scale(size / 16, size / 16);
  const line = hollow || name === "retracted";
  g.lineWidth = line ? 2.4 : 1;
  g.strokeStyle = g.fillStyle = colour;
  if (!line) g.fill(canvasPaths.get(name));
  g.stroke(canvasPaths.get(name));
  g.restore();
}

// Without a second score in sight nobody is told how it would be drawn.
function fillLegend(list, { second }) {
  const items = [
    ["small", "small", second ? "first score" : "score"],
    ...(second ? [["large", "large", "second score"], ["fused", "fused", "both, weighted"]] : []),
    ["threshold", "ink", "threshold"], ["open", "bad", "alert open"], ["ended", "bad", "alert ended"],
    ["retracted", "soft", "retracted"], ["outside", "soft", "out of domain"],
  ];
  const entries = items.map(([name, colour, text]) => h("li", {}, shape(name, colour), text));
  entries.push(h("li", {}, shape("ended", "bad", { hollow: true }), "notice: less certain"));
  list.dataset.second = String(second);
  list.replaceChildren(...entries);
}
