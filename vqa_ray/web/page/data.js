// What the page knows of the fleet: kept up by server-sent events, asked anew after each interruption.

export const known = {
  fleet: null, streams: new Map(), incidents: new Map(), remarks: [], role: "viewer", away: "Connecting …", at: 0,
};
const readers = new Set();

export function subscribe(reader) {
  readers.add(reader);
  return () => readers.delete(reader);
}

function told() {
  known.at += 1;
  for (const reader of readers) reader(known.at);
}

export async function ask(path, options = {}) {
  const answer = await fetch(path, { headers: { Accept: "application/json", ...(options.headers || {}) }, ...options });
  if (answer.status === 401) location.assign("/login");
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => ({ error: `${answer.status} ${answer.statusText}` }));
  if (!answer.ok) throw new Error(body.error || `${answer.status} ${answer.statusText}`);
  return body;
}

export const say = (id, kind, by, note) =>
  ask(`/api/v1/incidents/${encodeURIComponent(id)}/remarks`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ kind, by, note }),
  });

export const retract = (id, kind) =>
  ask(`/api/v1/incidents/${encodeURIComponent(id)}/remarks/${kind}`, { method: "DELETE" });

export function listen() {
  ask("/api/v1/me").then((me) => { known.role = me.role; told(); }).catch(() => {});
  const events = new EventSource("/api/v1/events");
  const on = (name, take) => events.addEventListener(name, (event) => { take(JSON.parse(event.data)); told(); });
  on("all", (all) => {
    known.away = "";
    known.fleet = all.fleet;
    known.streams = new Map(all.streams.map((one) => [one.stream_id, one]));
    known.incidents = new Map(all.incidents.map((one) => [one.incident_id, one]));
    known.remarks = all.remarks;
  });
  on("changed", (some) => {
    known.away = "";
    if (some.fleet) known.fleet = some.fleet;
    for (const one of some.streams || []) known.streams.set(one.stream_id, one);
    for (const id of some.gone || []) known.streams.delete(id);
    for (const one of some.incidents || []) known.incidents.set(one.incident_id, one);
    if (some.remarks) known.remarks = some.remarks;
  });
  on("away", (why) => { known.away = `The fleet does not answer: ${why.reason}`; });
  events.onerror = () => { known.away = "Not connected; trying again …"; told(); };
}

export const RANK = { info: 0, minor: 1, major: 2, critical: 3 };
export const FINE = new Set(["live", "ended"]);

let worst = { at: -1, of: new Map() };

// The worst severity of what is open, by stream.
export function openBy() {
  if (worst.at !== known.at) {
    const of = new Map();
    for (const one of known.incidents.values()) {
      if (one.end_s !== null) continue;
      const list = of.get(one.stream_id);
      if (list) list.push(one); else of.set(one.stream_id, [one]);
    }
    for (const list of of.values()) list.sort((a, b) => RANK[b.severity] - RANK[a.severity]);
    worst = { at: known.at, of };
  }
  return worst.of;
}

export function remarkOn(id, kind) {
  return known.remarks.find((one) => one.incident_id === id && one.kind === kind);
}
