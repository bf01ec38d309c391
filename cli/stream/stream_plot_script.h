// The script of the page that `coil stream --plot` writes: draws, zooms and shows values; needs nothing from outside.
#pragma once

namespace coil::cli {

// Reads the global `plot`: {threshold, series: [{name, times, t, v, lo, hi, s, e, c}]}; c: [time, cause] of its
// anomalies; null is what is missing.
inline constexpr const char* kStreamPlotScript = R"js(
"use strict";
const ink = {value: "#f0f3fa", band: "rgba(92,184,250,.35)", score: "#ffa84d", alarm: "#ff5c5c", line: "#333947",
  text: "#edf0f5", dim: "#99a3b5", panel: "#151820"};
const left = 76, right = 24, high = 170, gap = 8, low = 40, tall = 300;
const drawers = [];
let view = null;  // [begin, end] on the axis that all panels share; null: everything
const whole = () => [Math.min(...plot.series.map(s => s.t[0])), Math.max(...plot.series.map(s => s.t[s.t.length - 1]))];
const number = x => x === null ? "none" : Number(x.toPrecision(6)).toString();
const when = (s, t) => s.times ? new Date(1000 * t).toISOString().replace(".000", "") : "record " + t;
function place(t, x) {  // the first index whose time is x or later
  let a = 0, b = t.length;
  while (a < b) { const m = (a + b) >> 1; if (t[m] < x) a = m + 1; else b = m; }
  return a;
}
function step(range, most) {
  const raw = range / most, ten = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map(x => x * ten).find(x => x >= raw);
}
const strides = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800,
  604800, 1209600, 2419200];  // seconds
function timeStep(range, most) {
  if (range / most < 1) return step(range, most);
  return strides.find(x => x >= range / most) || 86400 * step(range / 86400, most);
}
function dateOf(t, stride) {  // in UTC
  const text = new Date(1000 * t).toISOString();
  const [from, to] = stride >= 86400 ? [0, 10] : stride < 1 ? [11, 23] : stride < 60 ? [11, 19] : [0, 16];
  return text.slice(from, to).replace("T", " ");
}
const causeAt = (s, t) => { const c = s.c.filter(c => c[0] <= t); return c.length ? c[c.length - 1][1] : "episode"; };
function panel(s) {
  const box = document.createElement("section"), canvas = document.createElement("canvas");
  const tip = document.createElement("p");
  box.append(canvas, tip);
  document.getElementById("panels").append(box);
  const pen = canvas.getContext("2d");
  let hover = null, drag = null;
  const width = () => box.clientWidth - left - right;
  const now = () => view || whole();
  const toTime = x => { const [a, b] = now(); return a + (b - a) * (x - left) / width(); };
  function draw() {
    const scale = window.devicePixelRatio || 1, w = width(), [a, b] = now();
    canvas.width = scale * box.clientWidth; canvas.height = scale * tall;
    canvas.style.height = tall + "px";
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.font = "11px Inter, system-ui, sans-serif";
    const x = t => left + w * (t - a) / ((b - a) || 1);
    const first = Math.max(0, place(s.t, a) - 1), last = Math.min(s.t.length, place(s.t, b) + 2);
    let least = Infinity, most = -Infinity;
    for (let i = first; i < last; ++i) {
      if (s.v[i] !== null) { least = Math.min(least, s.v[i]); most = Math.max(most, s.v[i]); }
    }
    if (!(most >= least)) { least = 0; most = 1; }
    const margin = 0.12 * (most - least) || Math.abs(most) * 0.1 || 1;
    least -= margin; most += margin;
    const top = 26, floor = top + high + gap + low;
    const y = v => top + high * Math.min(1, Math.max(0, (most - v) / (most - least)));
    pen.fillStyle = ink.text; pen.textAlign = "left"; pen.font = "14px Inter, system-ui, sans-serif";
    pen.fillText(s.name || "value", left, 17);
    pen.font = "11px Inter, system-ui, sans-serif";
    pen.fillStyle = ink.panel;
    pen.fillRect(left, top, w, high); pen.fillRect(left, floor - low, w, low);
    pen.strokeStyle = ink.line; pen.fillStyle = ink.dim; pen.lineWidth = 0.5;
    const rise = step(most - least, 5);
    pen.textAlign = "right";
    for (let v = Math.ceil(least / rise) * rise; v <= most; v += rise) {
      pen.beginPath(); pen.moveTo(left, y(v)); pen.lineTo(left + w, y(v)); pen.stroke();
      pen.fillText(number(Math.abs(v) < 1e-9 * rise ? 0 : v), left - 8, y(v) + 4);
    }
    pen.fillText("score", left - 8, floor - low / 2 + 4);
    pen.textAlign = "center";
    const stride = (s.times ? timeStep : step)(b - a || 1, Math.max(1, w / 150));
    for (let t = Math.ceil(a / stride) * stride; t <= b; t += stride) {
      pen.beginPath(); pen.moveTo(x(t), top); pen.lineTo(x(t), floor); pen.stroke();
      pen.fillText(s.times ? dateOf(t, stride) : number(t), Math.min(x(t), left + w - 30), floor + 16);
    }
    pen.save();
    pen.beginPath(); pen.rect(left, top, w, high + gap + low); pen.clip();
    pen.fillStyle = "rgba(255,92,92,.22)";
    for (let i = first; i < last; ++i) {
      if (!s.e[i]) continue;
      const begin = i;
      while (i + 1 < last && s.e[i + 1]) ++i;
      pen.fillRect(x(s.t[begin]) - 1, top, x(s.t[i]) - x(s.t[begin]) + 2, high);
    }
    pen.fillStyle = ink.band;
    for (let i = first; i < last; ++i) {
      if (s.lo[i] === null) continue;
      const begin = i;
      while (i + 1 < last && s.lo[i + 1] !== null) ++i;
      pen.beginPath();
      for (let k = begin; k <= i; ++k) pen.lineTo(x(s.t[k]), y(s.hi[k]));
      for (let k = i; k >= begin; --k) pen.lineTo(x(s.t[k]), y(s.lo[k]));
      pen.fill();
    }
    pen.strokeStyle = ink.value; pen.lineWidth = 1;
    pen.beginPath();
    for (let i = first, on = false; i < last; ++i) {
      if (s.v[i] === null) { on = false; continue; }
      on ? pen.lineTo(x(s.t[i]), y(s.v[i])) : pen.moveTo(x(s.t[i]), y(s.v[i]));
      on = true;
    }
    pen.stroke();
    for (let i = first; i < last; ++i) {
      if (!(s.s[i] > 0.02)) continue;
      pen.strokeStyle = s.s[i] >= plot.threshold ? ink.alarm : ink.score;
      pen.lineWidth = s.s[i] >= plot.threshold ? 2 : 1;
      pen.beginPath(); pen.moveTo(x(s.t[i]), floor); pen.lineTo(x(s.t[i]), floor - low * s.s[i]); pen.stroke();
    }
    pen.strokeStyle = ink.dim; pen.lineWidth = 0.5;
    pen.beginPath(); pen.moveTo(left, floor - low * plot.threshold); pen.lineTo(left + w, floor - low * plot.threshold);
    pen.stroke();
    if (drag) {
      pen.fillStyle = "rgba(255,255,255,.12)";
      pen.fillRect(Math.min(...drag), top, Math.abs(drag[1] - drag[0]), high);
    }
    if (hover !== null) {
      pen.strokeStyle = ink.dim;
      pen.beginPath(); pen.moveTo(x(s.t[hover]), top); pen.lineTo(x(s.t[hover]), floor); pen.stroke();
    }
    pen.restore();
    tip.textContent = hover === null ? "" : when(s, s.t[hover]) + "   value " + number(s.v[hover]) +
      (s.lo[hover] === null ? "" : "   forecast " + number(s.lo[hover]) + " to " + number(s.hi[hover])) +
      "   score " + number(s.s[hover]) + (s.e[hover] ? "\n" + causeAt(s, s.t[hover]) : "");
  }
  const at = event => event.clientX - canvas.getBoundingClientRect().left;
  canvas.onmousemove = event => {
    const i = Math.min(s.t.length - 1, place(s.t, toTime(at(event))));
    const before = Math.max(0, i - 1), t = toTime(at(event));
    hover = Math.abs(s.t[before] - t) < Math.abs(s.t[i] - t) ? before : i;
    if (drag) drag[1] = at(event);
    draw();
  };
  canvas.onmouseleave = () => { hover = drag = null; draw(); };
  canvas.onmousedown = event => { drag = [at(event), at(event)]; };
  canvas.onmouseup = () => {
    const [from, to] = drag || [0, 0];
    drag = null;
    if (Math.abs(to - from) > 4) view = [toTime(Math.min(from, to)), toTime(Math.max(from, to))];
    drawAll();
  };
  canvas.ondblclick = () => { view = null; drawAll(); };
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    const [a, b] = now(), [first, last] = whole(), t = toTime(at(event)), by = event.deltaY > 0 ? 1.25 : 0.8;
    view = [Math.max(first, t - (t - a) * by), Math.min(last, t + (b - t) * by)];
    drawAll();
  }, {passive: false});
  drawers.push(draw);
}
function drawAll() { for (const draw of drawers) draw(); }
plot.series.forEach(panel);
window.onresize = drawAll;
drawAll();
)js";

}  // namespace coil::cli
