// All streams, worst first; only the tiles that can be seen exist.

import { FINE, known, openBy, RANK } from "./data.js";
import { Chip, html, toStream, useEffect, useRef, useState, words } from "./parts.js";

const TILE = 190, HEIGHT = 196, GAP = 10, SPARE = 2, STILL_MS = 5000;

function trouble(one, open) {
  const list = open.get(one.stream_id);
  if (list) return 10 + RANK[list[0].severity] * 10;
  if (one.state === "ended") return -1;
  return FINE.has(one.state) ? 0 : 5;
}

export function chosen({ text, label, state, only }) {
  const open = openBy(), low = text.trim().toLowerCase();
  const [name, value] = label ? label.split(/:(.*)/s) : ["", ""];
  const list = [];
  for (const one of known.streams.values()) {
    if (low && !one.stream_id.toLowerCase().includes(low)) continue;
    if (label && one.labels[name] !== value) continue;
    if (state && one.state !== state) continue;
    const rank = trouble(one, open);
    if (only && rank <= 0) continue;
    list.push([rank, one.health ?? 100, one]);
  }
  list.sort((a, b) => b[0] - a[0] || a[1] - b[1] || (a[2].stream_id < b[2].stream_id ? -1 : 1));
  return list.map((entry) => entry[2]);
}

function Tile({ one, open, style, tick, place, count }) {
  const [broken, setBroken] = useState(-1);
  const list = open.get(one.stream_id) || [];
  const kind = list.length ? list[0].severity : FINE.has(one.state) ? "" : "major";
  const shows = one.state === "live" && broken !== tick;
  return html`<li class=${`tile ${kind}`} style=${style} aria-setsize=${count} aria-posinset=${place}>
    <a href=${toStream(one.stream_id)}>
      <div class="picture">${shows
        ? html`<img alt="" src=${`/api/v1/streams/${encodeURIComponent(one.stream_id)}/still?${tick}`} onError=${() => setBroken(tick)} />`
        : html`<span>${one.state === "live" ? "no picture yet" : words(one.state)}</span>`}</div>
      <div class="words"><span class="id">${one.stream_id}</span>
        <span class="row">${list.length
          ? list.slice(0, 2).map((incident) => html`<${Chip} kind=${incident.severity}>${words(incident.detector)}<//>`)
          : html`<${Chip} kind=${FINE.has(one.state) ? "good" : "major"}>${words(one.state)}<//>`}
          ${list.length > 2 ? html`<span class="dim">+${list.length - 2}</span>` : ""}</span>
        <span class="row dim"><span>${one.health === null ? "–" : `health ${one.health}`}</span>
          ${one.coverage < 0.999 && one.fps ? html`<span>${(one.coverage * 100).toFixed(1)} % seen</span>` : ""}
          ${one.tier && one.tier !== "all" ? html`<span>${words(one.tier)}</span>` : ""}</span>
      </div></a></li>`;
}

function useView(node) {
  const [view, set] = useState({ top: 0, height: innerHeight, width: 1200 });
  useEffect(() => {
    let waiting = 0;
    const look = () => {
      waiting = 0;
      if (!node.current) return;
      const box = node.current.getBoundingClientRect();
      set({ top: -box.top, height: innerHeight, width: box.width });
    };
    const soon = () => { waiting ||= requestAnimationFrame(look); };
    look();
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    return () => { removeEventListener("scroll", soon); removeEventListener("resize", soon); cancelAnimationFrame(waiting); };
  }, []);
  return view;
}

export function Wall({ query, change }) {
  const node = useRef(null), view = useView(node);
  const [tick, setTick] = useState(Math.floor(Date.now() / STILL_MS));
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) setTick(Math.floor(Date.now() / STILL_MS)); }, STILL_MS);
    return () => clearInterval(timer);
  }, []);
  const filter = { text: query.get("q") || "", label: query.get("label") || "", state: query.get("state") || "", only: query.has("trouble") };
  const list = chosen(filter), open = openBy();
  const columns = Math.max(1, Math.floor((view.width + GAP) / (TILE + GAP)));
  const width = (view.width - GAP * (columns - 1)) / columns;
  const rows = Math.ceil(list.length / columns);
  const from = Math.max(0, Math.floor(view.top / (HEIGHT + GAP)) - SPARE);
  const to = Math.min(rows, Math.ceil((view.top + view.height) / (HEIGHT + GAP)) + SPARE);
  const seen = list.slice(from * columns, to * columns);
  const labels = new Set(), states = new Set();
  for (const one of known.streams.values()) {
    states.add(one.state);
    for (const [name, value] of Object.entries(one.labels)) labels.add(`${name}:${value}`);
  }
  const set = (name) => (event) => change(name, event.target.type === "checkbox" ? (event.target.checked ? "1" : "") : event.target.value);
  return html`<main><h1>Streams</h1>
    <form class="bar" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Name <input type="search" value=${filter.text} onInput=${set("q")} /></label>
      <label>Label <select value=${filter.label} onChange=${set("label")}><option value="">any</option>
        ${[...labels].sort().map((one) => html`<option value=${one} selected=${one === filter.label}>${one}</option>`)}</select></label>
      <label>State <select value=${filter.state} onChange=${set("state")}><option value="">any</option>
        ${[...states].sort().map((one) => html`<option value=${one} selected=${one === filter.state}>${words(one)}</option>`)}</select></label>
      <label>In trouble only <input type="checkbox" checked=${filter.only} onChange=${set("trouble")} /></label>
      <span class="dim" role="status">${list.length} of ${known.streams.size}</span>
    </form>
    <ul class="wall" ref=${node} style=${`height:${rows * (HEIGHT + GAP)}px`}>
      ${seen.map((one, n) => {
        const at = from * columns + n, row = Math.floor(at / columns), column = at % columns;
        const style = `left:${column * (width + GAP)}px;top:${row * (HEIGHT + GAP)}px;width:${width}px;height:${HEIGHT}px`;
        return html`<${Tile} key=${one.stream_id} one=${one} open=${open} style=${style} tick=${tick} place=${at + 1} count=${list.length} />`;
      })}</ul></main>`;
}
