// The shell: header, routes, and what all views share. The address says all that is shown.

import { FINE, known, listen, openBy, subscribe } from "./data.js";
import { Fleet } from "./fleet.js";
import { Incident, Incidents } from "./incidents.js";
import { Mutes } from "./mute.js";
import { html, isUtc, useEffect, useState, useUtc, zone } from "./parts.js";
import { Stream } from "./stream.js";
import { render } from "./vendor/preact-htm.js";
import { Wall } from "./wall.js";

const GO = { w: "/", i: "/incidents", f: "/fleet", m: "/mutes" };

function Header({ path, flip }) {
  const open = [...openBy().values()].flat();
  const critical = open.filter((one) => one.severity === "critical").length;
  let troubled = 0;
  for (const one of known.streams.values()) if (!FINE.has(one.state)) troubled += 1;
  const link = (to, words, key) => html`<a href=${to} aria-keyshortcuts=${key} aria-current=${(to === "/" ? path === "/" || path.startsWith("/streams") : path.startsWith(to)) ? "page" : null}>${words}</a>`;
  return html`<header class="top"><a class="name" href="/">vqa_ray</a>
    <nav aria-label="Main">${link("/", "Wall", "w")}${link("/incidents", "Incidents", "i")}${link("/fleet", "Fleet", "f")}${link("/mutes", "Mutes", "m")}</nav>
    <div class="sums"><span>${known.streams.size} streams</span>
      <span class=${`chip ${open.length ? (critical ? "critical" : "major") : "good"}`}>${open.length} open</span>
      ${troubled ? html`<span class="chip major">${troubled} not live</span>` : ""}
      <button type="button" aria-pressed=${isUtc()} title=${`Times in ${zone()}`} onClick=${flip}>${isUtc() ? "UTC" : "Local time"}</button>
      <form method="post" action="/logout"><button type="submit">Leave</button></form></div></header>`;
}

function App() {
  const [, redraw] = useState(0), [place, setPlace] = useState(location.pathname + location.search);
  useEffect(() => subscribe(redraw), []);
  const go = (to, { replace = false } = {}) => {
    history[replace ? "replaceState" : "pushState"](null, "", to);
    setPlace(to);
    if (!replace) { scrollTo(0, 0); }
  };
  useEffect(() => {
    const back = () => setPlace(location.pathname + location.search);
    const click = (event) => {
      const link = event.target.closest && event.target.closest("a[href]");
      if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || link.hasAttribute("download")) return;
      const to = new URL(link.href);
      if (to.origin !== location.origin || to.pathname.startsWith("/api/")) return;
      event.preventDefault();
      go(to.pathname + to.search);
    };
    const key = (event) => {
      if (event.target.closest("input, select, textarea") || event.metaKey || event.ctrlKey || event.altKey) return;
      if (GO[event.key]) go(GO[event.key]);
      if (event.key === "/") { const box = document.querySelector("input[type=search]"); if (box) { event.preventDefault(); box.focus(); } }
    };
    addEventListener("popstate", back);
    document.addEventListener("click", click);
    document.addEventListener("keydown", key);
    return () => { removeEventListener("popstate", back); document.removeEventListener("click", click); document.removeEventListener("keydown", key); };
  }, []);
  const url = new URL(place, location.origin), path = url.pathname, query = url.searchParams;
  const change = (name, value) => {
    const next = new URLSearchParams(query);
    for (const [key, what] of Object.entries(typeof name === "string" ? { [name]: value } : name)) {
      if (what === "" || what === null) next.delete(key); else next.set(key, what);
    }
    const text = next.toString();
    go(path + (text ? `?${text}` : ""), { replace: true });
  };
  const last = decodeURIComponent(path.split("/")[2] || "");
  const view = path.startsWith("/incidents/") ? html`<${Incident} id=${last} />`
    : path === "/incidents" ? html`<${Incidents} query=${query} change=${change} />`
    : path.startsWith("/streams/") ? html`<${Stream} id=${last} query=${query} change=${change} />`
    : path === "/fleet" ? html`<${Fleet} />`
    : path === "/mutes" ? html`<${Mutes} />`
    : html`<${Wall} query=${query} change=${change} />`;
  useEffect(() => { document.title = `${last || { "/": "Wall", "/incidents": "Incidents", "/fleet": "Fleet", "/mutes": "Mutes" }[path] || ""} – vqa_ray`; }, [path]);
  return html`<${Header} path=${path} flip=${() => { useUtc(!isUtc()); redraw(Math.random()); }} />
    ${known.away && html`<p class="away" role="status" style="margin:0">${known.away}</p>`}${view}`;
}

render(html`<${App} />`, document.getElementById("app"));
listen();
