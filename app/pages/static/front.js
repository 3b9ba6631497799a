// The live figure of one search: draws what GET .../front answers, again whenever an event says that a trial ended.
"use strict";

const context = JSON.parse(document.getElementById("context").textContent);
const plot = document.getElementById("plot");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const percent = (x) => (100 * x).toFixed(1) + " %";
const POINTS_BEFORE_WEBGL = 2000; // below this many, SVG needs no GPU and prints well

function label(p) {
  const lines = [
    `<b>trial ${p.number}</b>`,
    `${percent(p.accuracy)} ± ${percent(p.accuracy_standard_error)} validation`,
    p.test_accuracy === null ? "" : `${percent(p.test_accuracy)} ± ${percent(p.test_standard_error)} test`,
    `${p.latency_ms.toPrecision(4)} ms ${p.predicted ? "predicted" : "measured"}, ${percent(p.latency_share)} of dense`,
    `${p.pruner}: ` + Object.entries(p.patterns).map(([kind, count]) => `${count} ${kind}`).join(", "),
  ];
  return lines.filter(Boolean).join("<br>");
}

function scatter(name, points, marker, extra = {}) {
  return {
    type: points.length > POINTS_BEFORE_WEBGL ? "scattergl" : "scatter",
    mode: "markers", name, marker,
    x: points.map((p) => p.latency_ms), y: points.map((p) => p.accuracy),
    text: points.map(label), customdata: points.map((p) => p.page),
    hovertemplate: "%{text}<extra></extra>", ...extra,
  };
}

function traces(front) {
  const shown = new Set(front.points.map((p) => p.number));
  const rest = front.trials.filter((t) => !shown.has(t.number) && t.role === "searched");
  const line = { mode: "lines+markers", line: { color: colour("--leaf"), width: 2 } };
  const symbol = front.points.map((p) => (p.predicted ? "circle-open" : "circle"));
  const drawn = [
    scatter("dominated", rest, { color: colour("--quiet"), size: 7, opacity: 0.4 }),
    scatter("front", front.points, { color: colour("--leaf"), size: 11, symbol, line: { width: 2 } }, line),
  ];
  for (const [key, name, mark, tint] of [
    ["dense", "dense as uploaded", "x", "--ink"], ["dense_recovered", "dense with the same recovery", "cross", "--sky"]]) {
    if (front[key]) drawn.push(scatter(name, [front[key]], { color: colour(tint), size: 11, symbol: mark }));
  }
  return drawn;
}

function layout(front) {
  const across = (y, tint, dash) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: colour(tint), width: 1, dash } });
  const shapes = [];
  if (front.dense) shapes.push(across(front.dense.accuracy, "--ink", "dot"));
  if (front.dense_recovered) shapes.push(across(front.dense_recovered.accuracy, "--sky", "dash"));
  for (const limit of front.limits)
    shapes.push({ type: "line", yref: "paper", y0: 0, y1: 1, x0: limit.latency_ms, x1: limit.latency_ms, line: { color: colour("--clay"), dash: "dash" } });
  const axis = { gridcolor: colour("--rule"), zerolinecolor: colour("--rule") };
  const basis = front.source === "measured" ? "from a measured profile" : `${front.source} model, not measured`;
  return {
    paper_bgcolor: colour("--card"), plot_bgcolor: colour("--card"), font: { color: colour("--ink") },
    margin: { l: 70, r: 20, t: 20, b: 60 }, height: 460, showlegend: false, hovermode: "closest", shapes,
    xaxis: { ...axis, rangemode: "tozero", title: { text: `predicted latency, ms at batch ${front.batch} (${basis})` } },
    yaxis: { ...axis, tickformat: ".0%", title: { text: "accuracy (validation)" } },
  };
}

let drawing = null; // the fetch under way; a burst of events draws once
async function draw() {
  if (drawing) return drawing;
  drawing = (async () => {
    const answer = await fetch(`${context.api}/front?profile=${encodeURIComponent(context.profile)}`);
    if (!answer.ok) return;
    const front = await answer.json();
    if (!window.Plotly || !(front.trials.length || front.dense)) return;
    if (!plot.classList.contains("js-plotly-plot")) plot.replaceChildren();
    await Plotly.react(plot, traces(front), layout(front), { responsive: true, displaylogo: false });
    plot.dataset.points = front.points.length;
    plot.removeAllListeners?.("plotly_click");
    plot.on("plotly_click", (event) => { window.location = event.points[0].customdata; });
  })().finally(() => { drawing = null; });
  return drawing;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

async function refresh() {
  const answer = await fetch(context.api);
  if (!answer.ok) return;
  const search = await answer.json();
  const put = (id, text) => { document.getElementById(id).textContent = text; };
  const state = document.getElementById("state");
  state.textContent = search.state;
  state.className = `chip ${search.state}`;
  put("phase", search.phase ?? "–");
  put("done", search.progress.done);
  put("left", duration(search.progress.seconds_left));
  if (search.progress.best_accuracy !== null) put("best", percent(search.progress.best_accuracy));
  document.getElementById("progress").value = search.progress.done;
  return search;
}

function follow() {
  const stream = new EventSource(`${context.api}/events`);
  let pending = false;
  const soon = () => {
    if (pending) return;
    pending = true;
    setTimeout(async () => {
      pending = false;
      await draw();
      const search = await refresh();
      if (search && !["queued", "running", "paused"].includes(search.state)) {
        stream.close();
        window.location.reload(); // the tables below are drawn by the server
      }
    }, 400);
  };
  stream.onmessage = soon;
  for (const kind of ["phase", "progress", "trial", "search"]) stream.addEventListener(kind, soon);
}

document.getElementById("cancel")?.addEventListener("click", async (event) => {
  event.target.disabled = true;
  await fetch(`${context.api}/cancel`, { method: "POST" });
  await refresh();
});

draw();
if (["queued", "running", "paused"].includes(context.state)) follow();
