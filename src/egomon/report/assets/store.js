// What is shown: sources with their segments, and alerts. Rows are arrays, in the order that
// report/rows.py names.
const ROW = Object.freeze({
  id: 0, epoch: 1, start: 2, end: 3, p: 4, stage: 5, small: 6, large: 7, gateLarge: 8, fused: 9,
  threshold: 10, off: 11, step: 12, conf: 13, flags: 14, dropped: 15, guard: 16,
});
const FLAG = Object.freeze({ outOfDomain: 1, flagged: 2, incomplete: 4 });
const LIVE_ROWS = 3600;
const LIVE_ALERTS = 500;

class Store {
  constructor(data) {
    this.load(data);
  }

  load(data) {
    this.meta = { ...this.meta, ...data };
    this.sources = new Map();
    for (const each of data.sources) this.sources.set(each.name, sourceOf(each.name, each));
    this.alerts = data.alerts.slice();
    this.byId = new Map(this.alerts.map((alert) => [alert.alert_id, alert]));
    this.pictures = new Map(Object.entries(data.pictures || {}));
  }

  source(name) {
    if (!this.sources.has(name)) this.sources.set(name, sourceOf(name, {}));
    return this.sources.get(name);
  }

  // One change of the live page.
  apply(change) {
    if (change.kind === "field") {
      this.meta[change.name] = change.value;
      return;
    }
    const source = this.source(change.source);
    if (change.kind === "segment") addRow(source, change.row);
    else if (change.kind === "alert") {
      if (change.picture) this.pictures.set(change.alert.alert_id, change.picture);
      this.addAlert(change.alert);
    } else if (change.kind === "gap") source.gaps.push(change.gap);
    else if (change.kind === "stats") source.stats = change.stats;
    else if (change.kind === "status") source.status = change.status;
    else if (change.kind === "cycle") source.cycleStart = change.media_seconds;
    if (source.gaps.length > 1000) source.gaps.shift();
    source.version += 1;
  }

  addAlert(alert) {
    const at = this.alerts.findIndex((each) => each.alert_id === alert.alert_id);
    if (at >= 0) this.alerts[at] = alert;
    else this.alerts.push(alert);
    this.byId.set(alert.alert_id, alert);
    if (this.alerts.length > LIVE_ALERTS) {
      const oldest = this.alerts.shift().alert_id;
      this.byId.delete(oldest);
      this.pictures.delete(oldest);
    }
  }

  // True where a second score can come, or has come.
  get hasSecond() {
    return this.alerts.some((alert) => alert.scores.large) || [...this.sources.values()].some(({ status, rows }) =>
      (status && status.refiner !== "absent") || rows.some((row) => row[ROW.large] !== null));
  }

  alertsOf(name) {
    return this.alerts.filter((alert) => alert.source === name);
  }

  // Half-open span [start, end) of media seconds that a source covers.
  span(name) {
    const source = this.source(name);
    let start = Infinity;
    let end = -Infinity;
    if (source.rows.length) {
      start = source.rows[0][ROW.start];
      end = source.rows[source.rows.length - 1][ROW.end];
    }
    for (const alert of this.alertsOf(name)) {
      start = Math.min(start, alert.segment.media_start);
      end = Math.max(end, alertEnd(alert));
    }
    return end > start ? [start, end] : [0, 1];
  }
}

function sourceOf(name, each) {
  return {
    name,
    version: 0,
    rows: each.rows || [],
    gaps: each.gaps || [],
    status: each.status || null,
    stats: each.stats || null,
    wasOutOfDomain: Boolean(each.was_out_of_domain),
    cycleStart: each.cycle_start ?? -Infinity,
  };
}

function addRow(source, row) {
  const rows = source.rows;
  for (let i = rows.length - 1; i >= Math.max(0, rows.length - 64); i--) {
    if (rows[i][ROW.id] === row[ROW.id] && rows[i][ROW.epoch] === row[ROW.epoch]) {
      rows[i] = row;
      return;
    }
  }
  let at = rows.length;
  while (at > 0 && rows[at - 1][ROW.start] > row[ROW.start]) at--;
  rows.splice(at, 0, row);
  if (rows.length > LIVE_ROWS) rows.shift();
}

function alertEnd(alert) {
  return Math.max(alert.media_end ?? alert.segment.media_end, alert.segment.media_end);
}

// First index whose segment ends after t; rows are in order of their start.
function firstAfter(rows, t) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle][ROW.end] > t) high = middle;
    else low = middle + 1;
  }
  return low;
}

// Index of the segment whose middle is nearest to t, or -1.
function nearestRow(rows, t) {
  if (!rows.length) return -1;
  const from = Math.max(0, firstAfter(rows, t) - 2);
  let best = -1;
  let distance = Infinity;
  for (let i = from; i < Math.min(rows.length, from + 6); i++) {
    const d = Math.abs((rows[i][ROW.start] + rows[i][ROW.end]) / 2 - t);
    if (d < distance) [best, distance] = [i, d];
  }
  return best < 0 ? rows.length - 1 : best;
}
