// Analyzers, their load, and what is left.

import { known } from "./data.js";
import { Chip, html, length, useNow, words } from "./parts.js";

export function Fleet() {
  const now = useNow(), fleet = known.fleet;
  if (!fleet) return html`<main><h1>Fleet</h1><p>Loading …</p></main>`;
  const sum = (name) => fleet.analyzers.reduce((all, one) => all + one[name], 0);
  const nodes = new Map();
  for (const one of fleet.analyzers) nodes.set(one.node_id, (nodes.get(one.node_id) || 0) + one.streams);
  const left = Math.max(0, sum("capacity") - sum("reserved"));
  return html`<main><h1>Fleet</h1>
    <dl class="facts">
      <dt>Streams</dt><dd>${known.streams.size}, ${fleet.waiting} without an analyzer</dd>
      <dt>Capacity left</dt><dd>${left.toFixed(1)} of ${sum("capacity").toFixed(1)} cores that streams may use</dd>
      <dt>Machines</dt><dd>${[...nodes.entries()].map(([node, streams]) => html`<${Chip}>${node.slice(0, 8) || "unknown"}: ${streams} streams<//> `)}</dd>
      <dt>Cost</dt><dd>${sum("load").toFixed(1)} cores at work and ${sum("capacity").toFixed(1)} held for streams: about${" "}
        ${(sum("capacity") * fleet.usd_core_hour * 730).toFixed(0)} $ a month <span class="dim">(${fleet.usd_core_hour} $ a vCPU-hour, list price; vqa cost reckons with yours)</span></dd>
      <dt>Streams that moved</dt><dd>${Object.entries(fleet.left).length ? Object.entries(fleet.left).map(([why, count]) => html`<${Chip}>${count}: ${why}<//> `) : "none"}${" "}
        <span class="dim">since the supervisor began</span></dd>
      <dt>Alerts on their way</dt><dd>${fleet.undelivered}</dd>
      <dt>Supervisor</dt><dd>up ${length((now - Date.parse(fleet.started_utc)) / 1000)}, process ${fleet.supervisor_pid}, ${fleet.tick_failures} failed ticks, ${fleet.dropped_stale} stale reports dropped</dd>
    </dl>
    <h2>Analyzers</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Analyzers"><table><thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Machine</th><th scope="col" class="number">Streams</th>
      <th scope="col" class="number">Load (cores)</th><th scope="col" class="number">Reserved</th><th scope="col" class="number">Memory</th><th scope="col" class="number">Process</th></tr></thead>
      <tbody>${fleet.analyzers.map((one) => html`<tr key=${one.name}><td>${one.name}</td>
        <td><${Chip} kind=${one.phase === "ready" ? "good" : "major"}>${words(one.phase)}<//></td><td>${one.node_id.slice(0, 8)}</td><td class="number">${one.streams}</td>
        <td class="number">${one.load.toFixed(2)}</td><td class="number">${one.reserved.toFixed(2)} of ${one.capacity.toFixed(2)}</td>
        <td class="number">${Math.round(one.rss_bytes / 1048576)} MiB</td><td class="number">${one.pid || ""}</td></tr>`)}</tbody></table></div></main>`;
}
