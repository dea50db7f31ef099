// What is told to nobody: mutes and windows, and the form that mutes what one looks at.

import { ask, known } from "./data.js";
import { Chip, html, time, toStream, useEffect, useNow, useState, words } from "./parts.js";

const SPANS = [[30, "30 minutes"], [60, "an hour"], [240, "four hours"], [1440, "a day"], [10080, "a week"]];

export function MuteThis({ one }) {
  const [minutes, setMinutes] = useState("60"), [all, setAll] = useState(""), [told, setTold] = useState(""), [error, setError] = useState("");
  if (known.role !== "operator") return "";
  const send = async (event) => {
    event.preventDefault();
    const by = (localStorage.getItem("by") || "").trim();
    if (!by) { setError("Give your name above."); return; }
    const what = all === "stream" ? { streams: [one.stream_id] } : all === "detector" ? { detectors: [one.detector] }
      : { streams: [one.stream_id], detectors: [one.detector] };
    try {
      const made = await ask("/api/v1/mutes", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...what, minutes: Number(minutes), by }),
      });
      setTold(`Muted until ${time(made.until_utc)}.`); setError("");
    } catch (why) { setError(why.message); }
  };
  return html`<form class="say" onSubmit=${send} aria-label="Mute"><h2>Mute</h2><div class="bar">
      <label>What <select value=${all} onChange=${(event) => setAll(event.target.value)}>
        <option value="">${words(one.detector)} on this stream</option><option value="stream">all of this stream</option>
        <option value="detector">${words(one.detector)} on all streams</option></select></label>
      <label>For <select value=${minutes} onChange=${(event) => setMinutes(event.target.value)}>
        ${SPANS.map(([value, name]) => html`<option value=${String(value)} selected=${String(value) === minutes}>${name}</option>`)}</select></label>
      <button type="submit">Mute</button></div>
    <p class="dim">It is found and shown all the same; what lasts longer is told then. <a href="/mutes">What is muted</a></p>
    <p role="status">${told}</p>${error && html`<p role="alert" class="chip critical">${error}</p>`}</form>`;
}

const scope = (one) => html`${one.streams.map((id) => html`<a href=${toStream(id)}>${id}</a> `)}
  ${Object.entries(one.labels).map(([name, value]) => html`<${Chip}>${name}: ${value}<//> `)}
  ${one.detectors.map((id) => html`<${Chip}>${words(id)}<//> `)}${one.streams.length || one.detectors.length || Object.keys(one.labels).length ? "" : "everything"}`;

export function Mutes() {
  const now = useNow(), [found, setFound] = useState(null), [error, setError] = useState("");
  const load = () => ask("/api/v1/mutes").then((all) => { setFound(all); setError(""); }, (why) => setError(why.message));
  useEffect(() => { load(); const timer = setInterval(load, 5000); return () => clearInterval(timer); }, []);
  const end = (id) => async () => { try { await ask(`/api/v1/mutes/${encodeURIComponent(id)}`, { method: "DELETE" }); } catch (why) { setError(why.message); } load(); };
  if (!found) return html`<main><h1>Mutes</h1><p>${error || "Loading …"}</p></main>`;
  const lasting = found.mutes.filter((one) => Date.parse(one.until_utc) > now);
  return html`<main><h1>Mutes</h1>${error && html`<p role="alert">${error}</p>`}
    <p class="dim">Incidents of these are found, kept and shown, but told to nobody. What outlasts a mute or a window is told at its end.</p>
    ${lasting.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Mutes"><table><thead><tr><th scope="col">What</th><th scope="col">Until</th><th scope="col">By</th><th scope="col">Why</th><th scope="col">End</th></tr></thead>
      <tbody>${lasting.map((one) => html`<tr key=${one.mute_id}><td>${scope(one)}</td><td>${time(one.until_utc)}</td><td>${one.by}</td><td>${one.note}</td>
        <td>${known.role === "operator" ? html`<button type="button" onClick=${end(one.mute_id)}>End it</button>` : ""}</td></tr>`)}</tbody></table></div>`
      : html`<p>Nothing is muted.</p>`}
    <h2>Windows</h2>
    ${found.windows.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Windows"><table><thead><tr><th scope="col">Name</th><th scope="col">What</th><th scope="col">When</th><th scope="col">State</th></tr></thead>
      <tbody>${found.windows.map((one) => html`<tr key=${one.name}><td>${one.name}</td><td>${scope(one)}</td><td>${one.cron} (${one.time_zone}), ${one.minutes} min</td>
        <td>${one.until_utc ? html`<${Chip} kind="minor">until ${time(one.until_utc)}<//>` : `next ${time(one.next_utc)}`}</td></tr>`)}</tbody></table></div>`
      : html`<p>The fleet file declares none.</p>`}</main>`;
}
