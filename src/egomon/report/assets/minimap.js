// The whole recording in one line; drag the window to move the timeline.
class Minimap {
  constructor(canvas, timeline) {
    this.canvas = canvas;
    this.g = canvas.getContext("2d");
    this.timeline = timeline;
    this.frame = 0;
    new ResizeObserver(() => this.draw()).observe(canvas);
    let down = false;
    const move = (event) => {
      const box = canvas.getBoundingClientRect();
      const [start, end] = timeline.span;
      const t = start + ((event.clientX - box.left) / box.width) * (end - start);
      const half = (timeline.view[1] - timeline.view[0]) / 2;
      timeline.setView(t - half, t + half);
    };
    canvas.addEventListener("pointerdown", (event) => { down = true; canvas.setPointerCapture(event.pointerId); move(event); });
    canvas.addEventListener("pointermove", (event) => { if (down) move(event); });
    canvas.addEventListener("pointerup", () => { down = false; });
    canvas.addEventListener("pointercancel", () => { down = false; });
  }

  draw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.paint(); });
  }

  paint() {
    const { canvas, g, timeline } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!timeline.source || !width) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    const colours = readColours();
    const [start, end] = timeline.span;
    const x = (t) => ((t - start) / (end - start)) * width;
    g.fillStyle = colours.fill;
    g.fillRect(0, 0, width, height);
    // The highest score of each column, so that a single peak stays visible.
    const tallest = new Float32Array(Math.ceil(width) + 1);
    for (const row of timeline.source.rows) {
      const from = Math.max(0, Math.floor(x(row[ROW.start])));
      const to = Math.min(tallest.length - 1, Math.floor(x(row[ROW.end])));
      for (let column = from; column <= to; column++) tallest[column] = Math.max(tallest[column], row[ROW.p]);
    }
    g.fillStyle = colours.soft;
    tallest.forEach((p, column) => g.fillRect(column, height - p * (height - 6), 1, p * (height - 6)));
    for (const alert of timeline.alerts) {
      g.fillStyle = alert.phase === "retract" ? colours.soft : colours.bad;
      g.fillRect(x(alert.media_opened) - 1, 0, 2.5, height);
    }
    const [left, right] = timeline.view.map(x);
    g.fillStyle = colours.card;
    g.globalAlpha = 0.65;
    g.fillRect(0, 0, left, height);
    g.fillRect(right, 0, width - right, height);
    g.globalAlpha = 1;
    g.strokeStyle = colours.focus;
    g.lineWidth = 2;
    g.strokeRect(left + 1, 1, Math.max(4, right - left - 2), height - 2);
  }
}
