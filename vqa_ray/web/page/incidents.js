// The list of incidents, and the page of one.

import { ask, known, remarkOn, RANK, retract, say } from "./data.js";
import { MuteThis } from "./mute.js";
import { Chip, Curve, figure, html, IncidentTable, lasted, length, time, toStream, useEffect, useNow, useRef, useState, words } from "./parts.js";

const MOST = 300;

export function Incidents({ query, change }) {
  const now = useNow();
  const open = query.get("open") !== "0", detector = query.get("detector") || "", label = query.get("label") || "";
  const [name, value] = label ? label.split(/:(.*)/s) : ["", ""];
  const detectors = new Set(), labels = new Set(), list = [];
  for (const one of known.incidents.values()) {
    detectors.add(one.detector);
    for (const [key, what] of Object.entries(one.labels)) labels.add(`${key}:${what}`);
    if ((open && one.end_s !== null) || (detector && one.detector !== detector) || (label && one.labels[name] !== value)) continue;
    list.push({ ...one, said: known.remarks.filter((said) => said.incident_id === one.incident_id) });
  }
  list.sort((a, b) => (open ? RANK[b.severity] - RANK[a.severity] : 0) || Date.parse(b.start_utc) - Date.parse(a.start_utc));
  return html`<main><h1>Incidents</h1>
    <form class="bar" onSubmit=${(event) => event.preventDefault()}>
      <label>Show <select value=${open ? "1" : "0"} onChange=${(event) => change("open", event.target.value)}>
        <option value="1" selected=${open}>those that last</option><option value="0" selected=${!open}>all</option></select></label>
      <label>What <select value=${detector} onChange=${(event) => change("detector", event.target.value)}><option value="">anything</option>
        ${[...detectors].sort().map((one) => html`<option value=${one} selected=${one === detector}>${words(one)}</option>`)}</select></label>
      <label>Label <select value=${label} onChange=${(event) => change("label", event.target.value)}><option value="">any</option>
        ${[...labels].sort().map((one) => html`<option value=${one} selected=${one === label}>${one}</option>`)}</select></label>
      <span class="dim" role="status">${list.length}</span></form>
    <${IncidentTable} list=${list.slice(0, MOST)} now=${now} />
    ${list.length > MOST ? html`<p class="dim">… and ${list.length - MOST} more</p>` : ""}</main>`;
}

function Proof({ id, names }) {
  const to = (name) => `/api/v1/incidents/${encodeURIComponent(id)}/evidence/${encodeURIComponent(name)}`;
  const stills = names.filter((name) => name.endsWith(".jpg")).sort((a, b) => a.includes("first") - b.includes("first") || (a < b ? 1 : -1));
  const clips = names.filter((name) => name.endsWith(".mp4") || name.endsWith(".ts"));
  if (!names.length) return html`<p class="dim">No stills and no clip are kept of it (yet).</p>`;
  const when = (name) => (name.startsWith("end") ? "its end" : "its start");
  return html`<div class="proof">
    ${clips.filter((name) => name.endsWith(".mp4")).map((name) => html`<figure style="margin:0" key=${name}>
      <figcaption class="dim">Original packets around ${when(name)}</figcaption>
      <video controls muted playsinline preload="metadata" src=${to(name)} aria-label=${`Clip around ${when(name)}`}></video></figure>`)}
    ${stills.map((name) => html`<figure style="margin:0" key=${name}>
      <figcaption class="dim">${name.includes("first") ? "The first bad frame" : `Stills around ${when(name)}`}</figcaption>
      <a href=${to(name)}><img src=${to(name)} alt=${name.includes("first") ? "The first bad frame" : `Stills around ${when(name)}, with the detector's value`} /></a></figure>`)}
    <p>${names.map((name) => html`<a href=${to(name)} download>${name}</a> `)}</p></div>`;
}

function Say({ id, done }) {
  const [by, setBy] = useState(localStorage.getItem("by") || ""), [note, setNote] = useState(""), [error, setError] = useState("");
  const acknowledged = remarkOn(id, "acknowledged"), falseAlarm = remarkOn(id, "false_alarm");
  const send = (kind) => async (event) => {
    event.preventDefault();
    if (!by.trim()) { setError("Give your name."); return; }
    localStorage.setItem("by", by.trim());
    try { await say(id, kind, by.trim(), note.trim()); setNote(""); setError(""); done(); } catch (why) { setError(why.message); }
  };
  const back = (kind) => async () => { try { await retract(id, kind); done(); } catch (why) { setError(why.message); } };
  const shown = [acknowledged, falseAlarm].filter(Boolean);
  return html`<section aria-label="What people say"><h2>Said</h2>
    ${shown.map((one) => html`<p key=${one.kind}><${Chip} kind="good">${words(one.kind)}<//> by <b>${one.by}</b>, ${time(one.at_utc)}${one.note ? html`: ${one.note}` : ""}
      ${known.role === "operator" ? html` <button type="button" onClick=${back(one.kind)}>Take back</button>` : ""}</p>`)}
    ${!shown.length && html`<p class="dim">Nobody has said that they are on it.</p>`}
    ${known.role === "operator" ? html`<form class="say" onSubmit=${send("acknowledged")}>
      <label>Your name <input name="by" value=${by} maxlength="80" autocomplete="name" onInput=${(event) => { setBy(event.target.value); localStorage.setItem("by", event.target.value.trim()); }} /></label>
      <label>Note <textarea name="note" rows="2" maxlength="2000" value=${note} onInput=${(event) => setNote(event.target.value)}></textarea></label>
      <div class="bar"><button class="first" type="submit">Acknowledge</button>
        <button type="button" onClick=${send("false_alarm")}>False alarm</button></div>
      ${error && html`<p role="alert" class="chip critical">${error}</p>`}</form>` : ""}</section>`;
}

export function Incident({ id }) {
  const now = useNow();
  const [found, setFound] = useState(null), [error, setError] = useState("");
  const fresh = known.incidents.get(id);
  const shown = useRef(id);
  shown.current = id;
  const load = () => { // what comes late, when another incident is shown, is dropped
    const here = (take) => (what) => { if (shown.current === id) take(what); };
    return ask(`/api/v1/incidents/${encodeURIComponent(id)}`)
      .then(here((told) => { setFound(told); setError(""); }), here((why) => setError(why.message)));
  };
  useEffect(() => { setFound(null); setError(""); }, [id]);
  useEffect(() => { load(); }, [id, fresh && fresh.end_s, fresh && fresh.severity]); // without a clip that plays being lost
  useEffect(() => { // stills and the clip come some seconds after the incident
    const timer = setInterval(() => { if (!found || error || !found.evidence.length || found.incident.end_s === null) load(); }, 5000);
    return () => clearInterval(timer);
  }, [id, found, error]);
  if (!found) return html`<main><h1>Incident</h1>${error ? html`<p role="alert">${error}</p>` : html`<p>Loading …</p>`}</main>`;
  const one = fresh || found.incident;
  const marks = [Date.parse(one.start_utc) / 1000, ...(one.end_utc ? [Date.parse(one.end_utc) / 1000] : [])];
  return html`<main><h1>${words(one.detector)}${one.part ? ` (${one.part})` : ""} on <a href=${toStream(one.stream_id)}>${one.stream_id}</a>
      ${" "}<${Chip} kind=${one.severity}>${one.severity}<//></h1>
    ${error && html`<p role="alert">${error}</p>`}
    <div class="two"><div>
      <dl class="facts">
        <dt>Since</dt><dd>${time(one.start_utc)} <span class="dim">(${one.start_utc})</span></dd>
        <dt>Until</dt><dd>${one.end_utc ? time(one.end_utc) : "it lasts"}</dd>
        <dt>Length</dt><dd>${length(lasted(one, now))}</dd>
        <dt>Worst</dt><dd>${figure(one.value, one.unit)}</dd>
        <dt>Try</dt><dd>${found.advice}</dd>
        ${found.suppressed.length > 0 && html`<dt>Hides</dt><dd>${found.suppressed.map((name) => html`<${Chip}>${words(name)}<//> `)} <span class="dim">which it is the cause of</span></dd>`}
        ${one.reason && html`<dt>Reason</dt><dd>${one.reason}</dd>`}
        <dt>In the media</dt><dd>${one.start_s.toFixed(2)} s${one.start_pts_s === null ? "" : `, PTS ${one.start_pts_s.toFixed(2)} s`}</dd>
        ${Object.keys(one.labels).length > 0 && html`<dt>Labels</dt><dd>${Object.entries(one.labels).map(([name, value]) => html`<${Chip}>${name}: ${value}<//> `)}</dd>`}
      </dl>
      <${Say} id=${id} done=${load} />
      <${MuteThis} one=${one} />
    </div><${Proof} id=${id} names=${found.evidence} /></div>
    <h2>Values</h2><${Curve} curve=${found.curves[0]} title=${`${words(one.detector)}${one.unit ? ` (${one.unit})` : ""}`} marks=${marks} />
    <h2>The same on other streams</h2><${IncidentTable} list=${found.alike} now=${now} />
    <h2>Also wrong with this stream at the time</h2><${IncidentTable} list=${found.beside} now=${now} withStream=${false} /></main>`;
}
