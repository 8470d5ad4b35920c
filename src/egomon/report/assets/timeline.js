// The timeline: alerts on top, scores with threshold, segments, workflow steps, time axis.
const PAD = Object.freeze({ left: 34, right: 8, top: 24, axis: 20, steps: 22, segments: 12, gap: 6 });
const LEAST_SPAN_SECONDS = 4;

class Timeline {
  constructor(canvas, { onPick, onHover, onMove }) {
    this.canvas = canvas;
    this.g = canvas.getContext("2d");
    this.on = { onPick, onHover, onMove };
    this.view = [0, 1];
    this.selection = { alert: null, row: -1 };
    this.playhead = null;
    this.frame = 0;
    this.attach();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(source, alerts, span) {
    Object.assign(this, { source, alerts, span });
    this.draw();
  }

  setView(start, end) {
    const [first, last] = this.span;
    const width = Math.min(Math.max(end - start, LEAST_SPAN_SECONDS), Math.max(last - first, LEAST_SPAN_SECONDS));
    const from = Math.max(first, Math.min(start, last - width));
    this.view = [from, from + width];
    this.draw();
    this.on.onMove();
  }

  // What is selected, while it is in view, else the middle.
  focus() {
    const row = this.source.rows[this.selection.row];
    const t = row ? (row[ROW.start] + row[ROW.end]) / 2 : -Infinity;
    return t >= this.view[0] && t <= this.view[1] ? t : (this.view[0] + this.view[1]) / 2;
  }

  zoom(factor, around = this.focus()) {
    const [start, end] = this.view;
    this.setView(around - (around - start) * factor, around + (end - around) * factor);
  }

  reveal(start, end) {
    const [from, to] = this.view;
    const width = to - from;
    if (start >= from && end <= to) return;
    const middle = (start + end) / 2;
    this.setView(middle - width / 2, middle + width / 2);
  }

  x(t) {
    const [start, end] = this.view;
    return PAD.left + ((t - start) / (end - start)) * (this.width - PAD.left - PAD.right);
  }

  time(x) {
    const [start, end] = this.view;
    return start + ((x - PAD.left) / (this.width - PAD.left - PAD.right)) * (end - start);
  }

  // Draws at the next frame, once, however often it was asked.
  draw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.paint(); });
  }

  paint() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!this.source || !width) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    Object.assign(this, { width, height, colours: readColours() });
    const bottom = height - PAD.axis;
    this.lanes = {
      scores: [PAD.top, bottom - PAD.steps - PAD.segments - 2 * PAD.gap],
      segments: [bottom - PAD.steps - PAD.segments - PAD.gap, bottom - PAD.steps - PAD.gap],
      steps: [bottom - PAD.steps, bottom],
    };
    // A selection redraws markers over a kept picture of the scores: thousands of lines are slow.
    const key = [this.source.name, this.source.version, ...this.view, width, height, ratio, this.colours.ink].join();
    if (this.baseKey !== key) {
      this.baseKey = key;
      this.paintBase(ratio);
    }
    this.g = this.canvas.getContext("2d");
    this.g.drawImage(this.base, 0, 0);
    this.g.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.clip(() => {
      this.paintAlertBands();
      this.paintMarkers();
      this.paintCursor();
    });
  }

  paintBase(ratio) {
    this.base ||= document.createElement("canvas");
    this.base.width = this.canvas.width;
    this.base.height = this.canvas.height;
    this.g = this.base.getContext("2d");
    this.g.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.rows = this.visibleRows();
    this.paintGrid();
    this.clip(() => {
      this.paintOutside();
      this.paintThreshold();
      this.paintScores();
      this.paintSegments();
      this.paintSteps();
    });
  }

  visibleRows() {
    const rows = this.source.rows;
    const from = Math.max(0, firstAfter(rows, this.view[0]) - 1);
    let to = from;
    while (to < rows.length && rows[to][ROW.start] <= this.view[1]) to++;
    return rows.slice(from, Math.min(rows.length, to + 1));
  }

  clip(body) {
    this.g.save();
    this.g.beginPath();
    this.g.rect(PAD.left - 1, 0, this.width - PAD.left - PAD.right + 2, this.height);
    this.g.clip();
    body();
    this.g.restore();
  }

  y(p) {
    const [top, bottom] = this.lanes.scores;
    return bottom - p * (bottom - top);
  }

  paintGrid() {
    const { g, colours } = this;
    g.clearRect(0, 0, this.width, this.height);
    g.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    g.textBaseline = "middle";
    g.textAlign = "right";
    for (const p of [0, 0.25, 0.5, 0.75, 1]) {
      const y = Math.round(this.y(p)) + 0.5;
      g.strokeStyle = colours.line;
      g.beginPath();
      g.moveTo(PAD.left, y);
      g.lineTo(this.width - PAD.right, y);
      g.stroke();
      g.fillStyle = colours.soft;
      g.fillText(p === 0.25 || p === 0.75 ? "" : String(p), PAD.left - 6, y);
    }
    g.fillText("p", PAD.left - 6, this.y(0.75));
    g.textAlign = "center";
    for (const t of ticks(this.view, Math.max(2, Math.floor(this.width / 110)))) {
      const x = this.x(t);
      g.fillStyle = colours.soft;
      g.fillText(clock(t, 0), Math.min(Math.max(x, PAD.left + 16), this.width - 26), this.height - 8);
      g.fillStyle = colours.line;
      g.fillRect(Math.round(x), PAD.top, 1, this.height - PAD.top - PAD.axis);
    }
  }

  paintOutside() {
    const { g, colours } = this;
    const [top, bottom] = this.lanes.scores;
    g.strokeStyle = colours.line;
    g.lineWidth = 2;
    for (const [start, end] of runs(this.rows, (row) => row[ROW.flags] & FLAG.outOfDomain)) {
      const [left, right] = [this.x(start), this.x(end)];
      g.save();
      g.beginPath();
      g.rect(left, top, right - left, bottom - top);
      g.clip();
      g.beginPath();
      for (let x = left - (bottom - top); x < right; x += 9) {
        g.moveTo(x, bottom);
        g.lineTo(x + bottom - top, top);
      }
      g.stroke();
      g.restore();
    }
  }

  paintAlertBands() {
    const { g, colours } = this;
    const [top, bottom] = this.lanes.scores;
    for (const alert of this.alerts) {
      const left = this.x(alert.segment.media_start);
      const width = Math.max(2, this.x(alertEnd(alert)) - left);
      const selected = alert.alert_id === this.selection.alert;
      g.fillStyle = alert.phase === "retract" ? colours.soft : colours.bad;
      g.globalAlpha = selected ? 0.3 : 0.14;
      g.fillRect(left, top, width, bottom - top);
      g.globalAlpha = 1;
      if (selected) {
        g.strokeStyle = colours.ink;
        g.lineWidth = 1.5;
        g.strokeRect(left - 1, top + 0.5, width + 2, bottom - top - 1);
      }
    }
  }

  paintThreshold() {
    const { g, colours } = this;
    g.strokeStyle = colours.ink;
    g.lineWidth = 1.3;
    g.setLineDash([5, 4]);
    g.beginPath();
    let last = null;
    for (const row of this.rows) {
      const y = this.y(row[ROW.threshold]);
      if (last !== y) g.moveTo(this.x(row[ROW.start]), y);
      g.lineTo(this.x(row[ROW.end]), y);
      last = y;
    }
    g.stroke();
    g.setLineDash([]);
  }

  paintScores() {
    const perRow = (this.width - PAD.left) / Math.max(1, this.rows.length);
    const size = Math.max(3, Math.min(9, perRow));
    this.paintBranch(ROW.small, "small", 1.3, perRow > 5 ? size : 0, []);
    this.paintBranch(ROW.large, "large", 1, size, [3, 3]);
    this.paintBranch(ROW.fused, "fused", 2, size + 1, []);
  }

  paintBranch(column, name, lineWidth, size, dash) {
    const { g } = this;
    const colour = this.colours[name];
    g.strokeStyle = colour;
    g.lineWidth = lineWidth;
    g.setLineDash(dash);
    g.beginPath();
    const points = [];
    let before = null;
    for (const row of this.rows) {
      if (row[column] === null) { before = null; continue; }
      const x = this.x((row[ROW.start] + row[ROW.end]) / 2);
      const y = this.y(row[column]);
      const broken = before === null || row[ROW.start] - before[ROW.end] > 1.5 * (row[ROW.end] - row[ROW.start]);
      if (broken) g.moveTo(x, y);
      else g.lineTo(x, y);
      before = row;
      points.push([x, y]);
    }
    g.stroke();
    g.setLineDash([]);
    if (size) for (const [x, y] of points) canvasShape(g, name, x, y, size, colour, false);
  }

  paintSegments() {
    const { g, colours } = this;
    const [top, bottom] = this.lanes.segments;
    const height = { small: 0.4, fused: 1, expired: 0.7 };
    const tall = bottom - top;
    for (const row of this.rows) {
      const left = this.x(row[ROW.start]);
      const next = this.x(row[ROW.end]);
      const part = height[row[ROW.stage]] * tall;
      g.fillStyle = row[ROW.stage] === "fused" ? colours.fused : row[ROW.stage] === "small" ? colours.small : colours.other;
      g.globalAlpha = 0.6;
      g.fillRect(left, bottom - part, Math.max(0.7, Math.min(next - left - 1, next - left)), part);
    }
    g.globalAlpha = 1;
    g.fillStyle = colours.bad;
    for (const gap of this.source.gaps) {
      if (gap.from_pts === null || gap.from_pts === undefined) continue;
      const left = this.x(gap.from_pts);
      g.fillRect(left, top - 3, Math.max(2, this.x(gap.to_pts ?? gap.from_pts) - left), 3);
    }
  }

  paintSteps() {
    const { g, colours } = this;
    const [top, bottom] = this.lanes.steps;
    g.textAlign = "left";
    let odd = false;
    for (const [start, end, text] of runs(this.rows, (row) => row[ROW.step])) {
      const left = Math.max(this.x(start), PAD.left);
      const width = Math.max(1, this.x(end) - left - 1);
      odd = !odd;
      g.fillStyle = odd ? colours.fill : colours.line;
      g.fillRect(left, top, width, bottom - top);
      if (width < 26) continue;
      g.fillStyle = colours.ink;
      g.fillText(fitted(g, text, width - 10), left + 5, (top + bottom) / 2 + 1);
    }
  }

  paintMarkers() {
    for (const alert of this.alerts) {
      const selected = alert.alert_id === this.selection.alert;
      const name = PHASES[alert.phase];
      const colour = name === "retracted" ? this.colours.soft : this.colours.bad;
      canvasShape(this.g, name, this.x(alert.media_opened), 12, selected ? 17 : 12, colour, alert.severity === "notice");
    }
  }

  paintCursor() {
    const { g, colours } = this;
    const row = this.source.rows[this.selection.row];
    if (row) {
      g.strokeStyle = colours.focus;
      g.lineWidth = 2;
      const left = this.x(row[ROW.start]);
      g.strokeRect(left, this.lanes.segments[0] - 1, Math.max(3, this.x(row[ROW.end]) - left), PAD.segments + 2);
      canvasShape(g, "small", this.x((row[ROW.start] + row[ROW.end]) / 2), this.y(row[ROW.p]), 13, colours.focus, true);
    }
    if (this.playhead !== null) {
      g.fillStyle = colours.ink;
      g.fillRect(this.x(this.playhead) - 1, PAD.top - 4, 2, this.height - PAD.top - PAD.axis + 4);
    }
  }

  // The alert under a point, if any: its marker first, then its band.
  alertAt(x, y) {
    let best = null;
    let distance = y < PAD.top ? 12 : 3;
    for (const alert of this.alerts) {
      const [left, right] = y < PAD.top
        ? [this.x(alert.media_opened), this.x(alert.media_opened)]
        : [this.x(alert.segment.media_start), this.x(alertEnd(alert))];
      const d = x < left ? left - x : x > right ? x - right : 0;
      if (d < distance || (d === 0 && !best)) [best, distance] = [alert, d];
    }
    return y > this.lanes.scores[1] ? null : best;
  }

  attach() {
    let drag = null;
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      const [x] = at(event);
      drag = { x, view: this.view.slice(), moved: false };
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (!drag) { this.on.onHover(x, this.time(x), y); return; }
      if (Math.abs(x - drag.x) > 5) drag.moved = true;
      if (!drag.moved) return;
      const shift = ((drag.x - x) / (this.width - PAD.left - PAD.right)) * (drag.view[1] - drag.view[0]);
      this.setView(drag.view[0] + shift, drag.view[1] + shift);
    });
    this.canvas.addEventListener("pointerup", (event) => {
      const [x, y] = at(event);
      if (drag && !drag.moved) this.on.onPick(this.time(x), this.alertAt(x, y));
      drag = null;
    });
    this.canvas.addEventListener("pointercancel", () => { drag = null; });
    this.canvas.addEventListener("pointerleave", () => this.on.onHover(null));
    this.canvas.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey || event.shiftKey)) return;
      event.preventDefault();
      const [x] = at(event);
      this.zoom(Math.exp(Math.sign(event.deltaY || event.deltaX) * 0.25), this.time(x));
    }, { passive: false });
  }
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "soft", "line", "fill", "small", "large", "fused", "bad", "other", "focus", "card"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// Round times for at most `count` ticks.
function ticks([start, end], count) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const step = steps.find((each) => (end - start) / each <= count) || 86400;
  const out = [];
  for (let t = Math.ceil(start / step) * step; t <= end; t += step) out.push(t);
  return out;
}

// Neighbouring rows of one value as [start, end, value]; rows without a value are left out.
function* runs(rows, value) {
  let run = null;
  for (const row of rows) {
    const found = value(row) || null;
    if (run && found === run[2]) { run[1] = row[ROW.end]; continue; }
    if (run) yield [run[0], Math.min(run[1], row[ROW.start]), run[2]];
    run = found === null ? null : [row[ROW.start], row[ROW.end], found];
  }
  if (run) yield run;
}

function fitted(g, text, width) {
  if (g.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (g.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low ? `${text.slice(0, low)}…` : "";
}
