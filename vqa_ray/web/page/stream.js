// One stream: how it is, its picture, and its day as lanes and curves.

import { ask, FINE, known, openBy } from "./data.js";
import { Chip, Curve, html, IncidentTable, time, toIncident, useEffect, useNow, useRef, useState, words, zone } from "./parts.js";

const DAY = 86400_000;

function Lanes({ incidents, since, until, choose }) {
  const box = useRef(null), drag = useRef(null);
  const span = until - since, share = (moment) => Math.min(100, Math.max(0, ((moment - since) / span) * 100));
  const lanes = new Map();
  for (const one of incidents) lanes.set(one.detector, [...(lanes.get(one.detector) || []), one]);
  const at = (event) => {
    const track = box.current.querySelector(".track").getBoundingClientRect();
    return since + ((event.clientX - track.left) / track.width) * span;
  };
  const down = (event) => { if (event.button === 0 && !event.target.closest("a")) drag.current = at(event); };
  const up = (event) => {
    if (drag.current === null) return;
    const [from, to] = [drag.current, at(event)].sort((a, b) => a - b);
    drag.current = null;
    if (to - from > span / 100) choose(Math.max(since, from), Math.min(until, to));
  };
  const rows = [...lanes.entries()].sort();
  return html`<div class="lanes" ref=${box} onPointerDown=${down} onPointerUp=${up}>
    ${(rows.length ? rows : [["nothing found", []]]).map(([detector, list]) => html`<div class="lane" key=${detector}>
      <span>${words(detector)}</span><div class="track">${list.map((one) => {
        const left = share(Date.parse(one.start_utc)), right = share(one.end_utc ? Date.parse(one.end_utc) : Date.now());
        const title = `${words(one.detector)}, ${one.severity}, since ${time(one.start_utc)}`;
        return html`<a key=${one.incident_id} class=${one.severity} href=${toIncident(one.incident_id)} title=${title} aria-label=${title}
          style=${`left:${left}%;width:${Math.max(0.15, right - left)}%`}></a>`;
      })}</div></div>`)}
    <div class="scale" aria-hidden="true">${[0, 1, 2, 3, 4].map((n) => html`<span>${time(since + (span * n) / 4, { date: span > DAY })}</span>`)}</div></div>`;
}

// What the container says, a line a track.
function Facts({ known }) {
  if (!known || !known.source) return "";
  const { format, video, audio, bit_rate } = known.source, rate = (bits) => (bits ? `, ${(bits / 1e6).toPrecision(3)} Mb/s` : "");
  return html`<dt>Container</dt><dd>${format}${rate(bit_rate)}</dd>
    ${video && html`<dt>Picture</dt><dd>${video.codec}${video.profile ? ` ${video.profile}` : ""}, ${video.width} × ${video.height}${video.interlaced ? " interlaced" : ""},${" "}
      ${video.fps ? `${Number(video.fps.toFixed(3))} a second, ` : ""}${video.bit_depth || 8} bit${rate(video.bit_rate)}${known.gop_s ? `, a key frame each ${known.gop_s.toFixed(2)} s` : ""}</dd>`}
    ${audio && html`<dt>Sound</dt><dd>${audio.codec}, ${audio.layout}, ${audio.rate_hz / 1000} kHz${rate(audio.bit_rate)}${audio.language ? `, ${audio.language}` : ""}</dd>`}`;
}

export function Stream({ id, query, change }) {
  const now = useNow(), [about, setAbout] = useState(null), [source, setSource] = useState(null), [line, setLine] = useState(null), [error, setError] = useState("");
  const until = Number(query.get("until")) || 0, since = Number(query.get("since")) || 0;
  const minute = Math.floor(now / 60000);
  const to = until || minute * 60000 + 60000, from = since || to - DAY / 24;
  const one = known.streams.get(id), open = (openBy().get(id) || []).length;
  const path = `/api/v1/streams/${encodeURIComponent(id)}`;
  useEffect(() => { ask(path).then((known) => { setAbout(known); setError(""); }, (why) => setError(why.message)); }, [id, one && one.state, one && one.analyzer, open]);
  useEffect(() => { ask(`${path}/about`).then(setSource, () => setSource(null)); }, [id, one && one.state, one && one.analyzer, one && one.reconnects]);
  useEffect(() => {
    const ends = new Date(to).toISOString(), begins = new Date(from).toISOString();
    ask(`${path}/timeline?since=${begins}&until=${ends}`).then((found) => { setLine(found); setError(""); }, (why) => setError(why.message));
  }, [id, from, to, open]);
  const span = to - from;
  const show = (a, b) => change({ since: Math.round(a), until: Math.round(b) });
  const names = line ? [...new Set(line.curves.map((curve) => curve.detector))] : [];
  const name = query.get("curve") || names.find((each) => each === "loudness") || names[0] || "";
  const row = one || (about && about.stream);
  const date = new Date(from).toISOString().slice(0, 10);
  return html`<main><h1>${id} ${row && html`<${Chip} kind=${FINE.has(row.state) ? "good" : "major"}>${words(row.state)}<//>`}</h1>
    ${error && html`<p role="alert">${error}</p>`}
    ${row && html`<div class="two"><dl class="facts">
      ${row.reason && html`<dt>Why</dt><dd>${row.reason}</dd>`}
      <dt>Source</dt><dd>${about && about.source}</dd>
      <dt>Health</dt><dd>${row.health === null ? "not known yet" : `${row.health} of 100`}</dd>
      <dt>Analysed</dt><dd>${(row.coverage * 100).toFixed(2)} % of frames, ${row.fps} a second${row.tier && row.tier !== "all" ? `, ${words(row.tier)}` : ""}</dd>
      <dt>CPU</dt><dd>${(row.cpu_share * 100).toFixed(0)} % of a core</dd>
      <dt>Analyzer</dt><dd>${row.analyzer || "none"}${row.second === null ? "" : `, second half: ${row.second || "none"}`} <span class="dim">(epoch ${row.epoch}, ${row.reconnects} reconnects, ${row.crashes} crashes)</span></dd>
      <${Facts} known=${source} />
      ${Object.keys(row.labels).length > 0 && html`<dt>Labels</dt><dd>${Object.entries(row.labels).map(([key, value]) => html`<${Chip}>${key}: ${value}<//> `)}</dd>`}
    </dl><div class="proof">${row.state === "live" && html`<img alt="Newest still" width="320" src=${`${path}/still?${Math.floor(now / 5000)}`} />`}</div></div>`}
    <h2>Timeline</h2>
    <form class="bar" onSubmit=${(event) => event.preventDefault()}>
      <label>Day (UTC) <input type="date" value=${date} onChange=${(event) => { const a = Date.parse(`${event.target.value}T00:00:00Z`); if (a) show(a, a + DAY); }} /></label>
      <button type="button" onClick=${() => show(from - span / 2, to - span / 2)}>← Earlier</button>
      <button type="button" onClick=${() => show(from + span / 2, to + span / 2)}>Later →</button>
      <button type="button" onClick=${() => show(from + span / 4, to - span / 4)}>Zoom in</button>
      <button type="button" onClick=${() => show(from - span / 2, Math.min(to + span / 2, from - span / 2 + 31 * DAY))}>Zoom out</button>
      <button type="button" onClick=${() => change({ since: "", until: "" })}>Last hour</button>
      <span class="dim">${time(from)} to ${time(to)}, ${zone()}; drag over the lanes to zoom</span></form>
    ${line ? html`<${Lanes} incidents=${line.incidents} since=${from} until=${to} choose=${show} />
      <form class="bar" style="margin-top:.8rem" onSubmit=${(event) => event.preventDefault()}><label>Curve <select onChange=${(event) => change({ curve: event.target.value })}>
        ${names.map((each) => html`<option value=${each} selected=${each === name}>${words(each)}</option>`)}</select></label></form>
      ${line.curves.filter((curve) => curve.detector === name).map((curve) => html`<${Curve} key=${curve.part} curve=${curve} title=${`${words(name)}${curve.part ? ` (${curve.part})` : ""}`} />`)}` : html`<p>Loading …</p>`}
    <h2>Latest incidents</h2><${IncidentTable} list=${(about && about.incidents) || []} now=${now} withStream=${false} />
    <h2>Where it was</h2>${about && about.stays.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Where it was"><table>
      <thead><tr><th scope="col">Since</th><th scope="col">Analyzer</th><th scope="col">Why</th><th scope="col" class="number">Epoch</th></tr></thead>
      <tbody>${about.stays.map((stay) => html`<tr key=${`${stay.analyzer} ${stay.epoch} ${stay.since_utc}`}><td>${time(stay.since_utc)}</td><td>${stay.analyzer}</td><td>${stay.why}</td><td class="number">${stay.epoch}</td></tr>`)}</tbody></table></div>`
      : html`<p>Nothing is known since the supervisor began.</p>`}</main>`;
}
