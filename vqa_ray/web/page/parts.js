// Small parts that all views use: words, times, links, curves.

import { h, html, useEffect, useRef, useState } from "./vendor/preact-htm.js";

export { h, html, useEffect, useRef, useState };

export const words = (text) => String(text || "").replaceAll("_", " ");

let utc = localStorage.getItem("utc") === "1";
export const isUtc = () => utc;
export function useUtc(on) { utc = on; localStorage.setItem("utc", on ? "1" : "0"); }

export function time(text, { date = true } = {}) {
  if (!text) return "";
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  if (date) Object.assign(options, { year: "numeric", month: "2-digit", day: "2-digit" });
  if (utc) options.timeZone = "UTC";
  return new Intl.DateTimeFormat("sv-SE", options).format(new Date(text)) + (utc ? " UTC" : "");
}

export function zone() {
  return utc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
}

export function length(seconds) {
  if (seconds < 0.995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`;
  const s = Math.round(seconds);
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

export function lasted(one, now = Date.now()) {
  if (one.end_s !== null) return one.end_s - one.start_s;
  return Math.max(0, (now - Date.parse(one.start_utc)) / 1000);
}

export const figure = (value, unit) =>
  Number.isFinite(value) ? `${Number(value.toPrecision(3))}${unit ? ` ${unit}` : ""}` : "";

export const Chip = ({ kind, children }) => html`<span class=${`chip ${kind || ""}`}>${children}</span>`;

export const toStream = (id) => `/streams/${encodeURIComponent(id)}`;
export const toIncident = (id) => `/incidents/${encodeURIComponent(id)}`;

export function useNow(everyMs = 1000) {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, []);
  return now;
}

// A curve of windows: mean as a line within the band from lowest to highest; `marks` are moments (s since 1970).
export function Curve({ curve, title, height = 170, marks = [] }) {
  const place = useRef(null);
  useEffect(() => {
    const node = place.current;
    if (!node || !curve || !curve.t.length) return undefined;
    const ink = getComputedStyle(document.documentElement);
    const color = (name) => ink.getPropertyValue(name).trim();
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } };
    const lines = {
      hooks: { draw: [(plot) => {
        for (const mark of marks) {
          const x = plot.valToPos(mark, "x", true);
          plot.ctx.save();
          plot.ctx.strokeStyle = color("--critical");
          plot.ctx.setLineDash([4, 4]);
          plot.ctx.beginPath();
          plot.ctx.moveTo(x, plot.bbox.top);
          plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
          plot.ctx.stroke();
          plot.ctx.restore();
        }
      }] },
    };
    const soft = color("--link") + "33";
    const plot = new uPlot({
      width: node.clientWidth, height, plugins: [lines],
      tzDate: (s) => (utc ? uPlot.tzDate(new Date(s * 1000), "Etc/UTC") : new Date(s * 1000)),
      fmtDate: (text) => uPlot.fmtDate(text.replace("{h}", "{HH}").replace("{aa}", "").replace("{M}/{D}/{YY}", "{YYYY}-{MM}-{DD}").replace("{M}/{D}", "{MM}-{DD}")),
      scales: { x: { time: true } },
      bands: [{ series: [3, 2], fill: soft }],
      series: [
        {}, { label: "mean", stroke: color("--link"), width: 1.5, points: { show: curve.t.length < 3 } },
        { label: "low", stroke: soft, width: 1, points: { show: false } },
        { label: "high", stroke: soft, width: 1, points: { show: false } },
      ],
      axes: [axis, axis],
    }, [curve.t, curve.mean, curve.low, curve.high], node);
    const resized = new ResizeObserver(() => plot.setSize({ width: node.clientWidth, height }));
    resized.observe(node);
    return () => { resized.disconnect(); plot.destroy(); };
  }, [curve, utc, marks.join()]);
  const some = curve && curve.t.length;
  return html`<figure style="margin:0" class="curve">
    <figcaption class="dim">${title}${some ? "" : ": nothing is kept of this time"}</figcaption>
    <div ref=${place} role="img" aria-label=${`${title} over time`}></div></figure>`;
}

export function IncidentTable({ list, now, withStream = true }) {
  if (!list.length) return html`<p class="dim">None.</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Incidents"><table class="cards">
    <thead><tr><th scope="col">Since</th><th scope="col">What</th>${withStream && html`<th scope="col">Stream</th>`}
      <th scope="col">Severity</th><th scope="col" class="number">Length</th><th scope="col">Worst</th><th scope="col">Said</th></tr></thead>
    <tbody>${list.map((one) => html`<tr key=${one.incident_id}>
      <td>${time(one.start_utc)}</td>
      <td><a href=${toIncident(one.incident_id)}>${words(one.detector)}${one.part ? ` (${one.part})` : ""}</a></td>
      ${withStream && html`<td><a href=${toStream(one.stream_id)}>${one.stream_id}</a></td>`}
      <td><${Chip} kind=${one.severity}>${one.severity}<//></td>
      <td class="number">${length(lasted(one, now))}${one.end_s === null ? " …" : ""}</td>
      <td>${figure(one.value, one.unit)} ${one.reason && html`<span class="dim">${one.reason}</span>`}</td>
      <td>${(one.said || []).map((said) => html`<${Chip} kind="good">${words(said.kind)}<//> <span class="dim">${said.by}</span> `)}</td>
    </tr>`)}</tbody></table></div>`;
}
