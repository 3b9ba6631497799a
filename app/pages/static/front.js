// The live page of one search. The figure is drawn from GET .../front; everything else is taken over from the page as
// the server draws it now, so that numbers are formatted in one place. Both happen again when an event says so.
"use strict";

const context = JSON.parse(document.getElementById("context").textContent);
const plot = document.getElementById("plot");
const zoom = document.getElementById("zoom");
const thinned = document.getElementById("thinned");
const MOST_DOTS = 20_000; // dominated trials drawn; of more, every second, third ... and the page says so
const REST_MS = 400; // at least this long between two updates, and three times what the last one took

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const plusMinus = (share, error) => (error === null ? percent(share) : `${(100 * share).toFixed(1)} ± ${percent(error)}`);
const isShare = (metric) => metric === "accuracy" || metric === "top5";
const reading = (value, error, metric) => (isShare(metric) ? plusMinus(value, error) : `${Number(value.toPrecision(4))}${error === null ? "" : ` ± ${Number(error.toPrecision(2))}`}`);
const interval = (p) => ((p.low_ms ?? null) === null || (p.high_ms ?? null) === null ? "" : ` (${Number(p.low_ms.toPrecision(3))}–${Number(p.high_ms.toPrecision(3))})`);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (text) => { document.getElementById("said").textContent = text; };
const NAMES = { dense: "dense as uploaded", dense_recovered: "dense with the trials' recovery" };
let shown = null; // the front that is drawn
let zoomed = false;

// Dominated trials, thinned evenly where there are very many; trials on the front are always drawn.
function dominated(front) {
  const aside = new Set(front.points.map((p) => p.number));
  const rest = front.trials.filter((t) => !aside.has(t.number) && t.role === "searched");
  const every = Math.ceil(rest.length / MOST_DOTS);
  thinned.textContent = every > 1 ? `Of dominated trials one in ${every} is drawn.` : "";
  return every > 1 ? rest.filter((_, index) => index % every === 0) : rest;
}

function label(p) {
  const patterns = Object.entries(p.patterns).map(([kind, count]) => `${count} ${kind === "nm" ? "N:M" : kind}`);
  return [
    `<b>trial ${p.number}</b>`,
    `${reading(p.value, p.standard_error, p.metric)} validation`,
    p.test_value === null ? "" : `${reading(p.test_value, p.test_standard_error, p.metric)} test`,
    `${Number(p.latency_ms.toPrecision(4))} ms${interval(p)} predicted, ${percent(p.latency_share)} of dense`,
    p.measured_ms === null ? "" : `${Number(p.measured_ms.toPrecision(4))} ± ${Number(p.measured_spread_ms.toPrecision(2))} ms measured`,
    p.shipped ? `shipped ${p.shipped.at.slice(0, 10)}` : "",
    NAMES[p.role] ?? `${p.pruner}: ${patterns.join(", ") || "dense"}`,
  ].filter(Boolean).join("<br>");
}

function scatter(name, points, marker, extra = {}) {
  return {
    type: "scatter", mode: "markers", name, marker, cliponaxis: false,
    x: points.map((p) => p.latency_ms), y: points.map((p) => p.value),
    text: points.map(label), customdata: points.map((p) => p.page),
    hovertemplate: "%{text}<extra></extra>", ...extra,
  };
}

function traces(front) {
  const leaf = colour("--leaf");
  const faint = front.stopped.filter((_, index) => index % Math.ceil(front.stopped.length / MOST_DOTS) === 0);
  const drawn = [
    scatter("lower fidelity", faint, { color: colour("--quiet"), size: 5, opacity: 0.25 }),
    scatter("dominated", dominated(front), { color: colour("--quiet"), size: 7, opacity: 0.4 }),
  ];
  for (const [key, symbol, tint] of [["dense", "x-thin", "--ink"], ["dense_recovered", "cross-thin", "--sky"]]) {
    const line = { color: colour(tint), width: 2.5 };
    if (front[key]) drawn.push(scatter(NAMES[key], [front[key]], { color: line.color, size: 11, symbol, line }));
  }
  const error_y = { type: "data", array: front.points.map((p) => p.standard_error), thickness: 1, width: 0, color: leaf };
  const line = { color: leaf, width: 2 };
  drawn.push(scatter("front", front.points, { color: leaf, size: 11, symbol: "circle-open", line: { width: 2 } }, { mode: "lines+markers", line, error_y }));
  drawn.push(...measured(front, leaf), shipped(front));
  return drawn;
}

// Solid: where a trial was measured, tied to where it was predicted.
function measured(front, leaf) {
  const found = front.trials.filter((t) => t.measured_ms !== null);
  const line = { color: leaf, width: 1, dash: "dot" };
  const ties = {
    type: "scatter", mode: "lines", name: "tie", line, hoverinfo: "skip", customdata: [], connectgaps: false,
    x: found.flatMap((p) => [p.latency_ms, p.measured_ms, null]), y: found.flatMap((p) => [p.value, p.value, null]),
  };
  const error_x = { type: "data", array: found.map((p) => p.measured_spread_ms), thickness: 2, width: 0, color: leaf };
  return [ties, scatter("measured", found, { color: leaf, size: 9 }, { x: found.map((p) => p.measured_ms), error_x })];
}

function shipped(front) {
  const found = front.trials.filter((t) => t.shipped);
  const stars = { mode: "text", text: found.map(() => "★"), textposition: "top center", hoverinfo: "skip", hovertemplate: null };
  return scatter("shipped", found, {}, { ...stars, textfont: { color: colour("--gold"), size: 16 } });
}

// The same scales as the server's drawing: latency from 0, shares around what there is and never above 100 %, better up.
function ranges(front) {
  const all = [...front.trials, ...front.points, ...front.stopped];
  const seen = zoomed && front.points.length ? front.points : all;
  const span = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
  const [fastest, slowest] = span(seen.flatMap((p) => [p.latency_ms, p.measured_ms ?? p.latency_ms]));
  const [low, high] = span(seen.map((p) => p.value));
  const share = isShare(front.metric);
  const room = Math.max(high - low, share ? 0.02 : Math.abs(high) * 0.02, 1e-6) * 0.08;
  const y = share ? [Math.max(0, low - room), Math.min(1, high + room)] : [low - room, high + room];
  const beside = Math.max(slowest - fastest, slowest * 0.02) * 0.06;
  return {
    x: zoomed ? [fastest - beside, slowest + beside] : [0, slowest * 1.05],
    y: front.better === "lower" ? y.reverse() : y,
  };
}

function layout(front) {
  const across = (y, tint, dash) => ({ type: "line", layer: "below", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: colour(tint), width: 1.2, dash } });
  const upright = (x) => ({ type: "line", yref: "paper", y0: 0, y1: 1, x0: x, x1: x, line: { color: colour("--clay"), dash: "dash", width: 1.5 } });
  const shapes = front.limits.map((limit) => upright(limit.latency_ms));
  if (front.dense) shapes.push(across(front.dense.value, "--ink", "dot"));
  if (front.dense_recovered) shapes.push(across(front.dense_recovered.value, "--sky", "dash"));
  const axis = { gridcolor: colour("--rule"), zeroline: false, linecolor: colour("--quiet"), tickfont: { color: colour("--quiet") } };
  const { x, y } = ranges(front);
  const narrow = plot.clientWidth < 560;
  const title = narrow ? context.latency_title.replace(" (", "<br>(") : context.latency_title;
  const touch = window.matchMedia("(pointer: coarse)").matches; // where a finger on the figure scrolls the page
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("--ink"), family: "system-ui, DejaVu Sans, sans-serif" },
    margin: { l: narrow ? 56 : 68, r: 16, t: 12, b: narrow ? 70 : 56 }, autosize: true, showlegend: false, hovermode: "closest",
    dragmode: touch ? false : "zoom", uirevision: `${context.profile} ${zoomed}`, shapes,
    hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--leaf"), font: { color: colour("--ink") }, align: "left" },
    xaxis: { ...axis, range: x, title: { text: title, standoff: 12, font: { size: narrow ? 12 : 13 } } },
    yaxis: { ...axis, range: y, tickformat: isShare(front.metric) ? "~%" : "~g", title: { text: `${context.metric_title} (validation)`, standoff: 8, font: { size: narrow ? 12 : 13 } } },
  };
}

async function paint(front) {
  if (!window.Plotly || !front.trials.length) return; // the server's drawing stands
  if (!plot.classList.contains("js-plotly-plot")) {
    plot.replaceChildren();
    plot.classList.add("drawn");
  }
  const drawn = traces(front);
  const modeBarButtonsToRemove = ["lasso2d", "select2d", "autoScale2d"];
  await Plotly.react(plot, drawn, layout(front), { responsive: true, displaylogo: false, modeBarButtonsToRemove });
  shown = front;
  zoom.hidden = !front.points.length;
  plot.dataset.front = front.points.length;
  plot.dataset.trials = new Set(drawn.flatMap((trace) => trace.customdata)).size; // a dense one may be on the front too
  plot.removeAllListeners("plotly_click");
  plot.on("plotly_click", (event) => { window.location = event.points[0].customdata; });
}

async function draw() {
  const answer = await fetch(`${context.links.front}?profile=${encodeURIComponent(context.profile)}`);
  if (answer.ok) await paint(await answer.json());
}

// Takes over each element of class `live` from the page as it is now; says whether the search still goes on.
async function refresh() {
  const answer = await fetch(window.location.href);
  if (!answer.ok) return true;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll(".live")) {
    const now = fresh.getElementById(old.id);
    const open = [...old.querySelectorAll("details[open]")].map((d) => d.id);
    for (const id of open) now.querySelector(`#${id}`)?.setAttribute("open", "");
    if (now.innerHTML === old.innerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    old.replaceChildren(...now.childNodes);
    if (focused) [...old.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus();
  }
  return JSON.parse(fresh.getElementById("context").textContent).active;
}

let busy = false;
let due = false;
async function update(stream) {
  due = true;
  if (busy) return;
  busy = true;
  while (due) {
    due = false;
    const begin = performance.now();
    try {
      const [, active] = await Promise.all([draw(), refresh()]);
      if (!active) stream?.close();
    } catch {
      due = false; // the service is away: the stream comes back when it does, and says so
    }
    await wait(Math.max(REST_MS, 3 * (performance.now() - begin)));
  }
  busy = false;
}

function follow() {
  const stream = new EventSource(context.links.events);
  const news = () => update(stream);
  for (const kind of ["phase", "progress", "trial", "search", "measurement", "bound"]) stream.addEventListener(kind, news);
  stream.addEventListener("end", () => { stream.close(); news(); });
  stream.onopen = () => { say(""); news(); };
  stream.onerror = () => {
    if (stream.readyState !== EventSource.CONNECTING) setTimeout(follow, 5000);
    say("Connection lost; trying again …");
  };
}

document.addEventListener("click", async (event) => {
  if (event.target.id !== "cancel") return;
  event.target.disabled = true;
  const answer = await fetch(context.links.cancel, { method: "POST" }).catch(() => null);
  say(answer?.ok ? "Cancelling; what runs is stopped within seconds." : "That did not work: the service did not take it.");
  if (!answer?.ok) event.target.disabled = false;
  await update(null);
});

zoom.addEventListener("click", async () => {
  zoomed = !zoomed;
  zoom.setAttribute("aria-pressed", String(zoomed));
  await paint(shown);
});

window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (shown) paint(shown); });
draw();
if (context.active) follow();
