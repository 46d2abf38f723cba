// Asks for the numbers every three seconds, shows them, and draws the last five minutes of them.

const EVERY_MS = 3000;
const KEPT = 100;
const LEFT = 46;
const TOP = 8;
const BOTTOM = 18;
const TOO_FEW = "two samples are needed";
const LANES = ["transactional", "bulk"];
const board = document.getElementById("lanes");
const said = document.getElementById("said");
const whole = new Intl.NumberFormat("en");
const series = new Map();
let cursor = board.dataset.cursor;
let before = null;

function length(milliseconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const seconds = Math.floor(milliseconds / 1000);
  const place = units.findIndex(([, size]) => seconds >= size);
  if (place < 0) return "0 s";
  const [unit, size] = units[place];
  const next = units[place + 1];
  const rest = next ? Math.floor((seconds % size) / next[1]) : 0;
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${next[0]}` : ""}`;
}

function tell(numbers) {
  const counted = (value) => whole.format(value) + (value >= numbers.mostCounted ? "+" : "");
  for (const channel of numbers.channels) {
    const card = board.querySelector(`[data-channel=${channel.channel}]`);
    card.querySelector("[data-field=rests]").hidden = !channel.restsUntil;
    card.querySelector("[data-field=until]").textContent = (channel.restsUntil ?? "").slice(0, 19).replace("T", " ");
    for (const lane of channel.lanes) {
      const field = (name) => card.querySelector(`[data-lane=${lane.lane}] [data-field=${name}]`);
      field("ready").textContent = counted(lane.ready);
      field("later").textContent = counted(lane.later);
      field("inFlight").textContent = whole.format(lane.inFlight);
      field("waitedMs").textContent = lane.waitedMs === null ? "–" : length(lane.waitedMs);
    }
  }
}

// What came, less what there is more of, has left. Of a channel that is exact, but for what a person sent again; what is
// not of the transactional lane is of the other. Where that lane is not counted to its end, both are told together.
function left(channel, mostCounted, seconds) {
  const former = before?.numbers.channels.find((each) => each.channel === channel.channel);
  if (!former || channel.lanes.some((lane) => lane.accepted === null)) return {};
  const rate = (number) => Math.round((Math.max(0, number) / seconds) * 10) / 10;
  const first = (all) => all.lanes.find((lane) => lane.lane === "transactional");
  const open = (lane) => lane.ready + lane.later + lane.inFlight;
  const came = channel.lanes.reduce((sum, lane) => sum + lane.accepted, 0);
  const all = came - (channel.unended - former.unended);
  const [now, then] = [first(channel), first(former)];
  if ([now, then].some((lane) => Math.max(lane.ready, lane.later) >= mostCounted)) return { all: rate(all) };
  const transactional = now.accepted - (open(now) - open(then));
  return { transactional: rate(transactional), bulk: rate(all - Math.max(0, transactional)) };
}

function keep(numbers, now) {
  const seconds = before ? (now - before.at) / 1000 : 1;
  for (const channel of numbers.channels) {
    const kept = series.get(channel.channel) ?? [];
    const ready = Object.fromEntries(channel.lanes.map((lane) => [lane.lane, lane.ready]));
    kept.push({ at: now, ready, left: left(channel, numbers.mostCounted, seconds) });
    series.set(channel.channel, kept.slice(-KEPT));
  }
  before = { numbers, at: now };
}

function make(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function ceiling(highest) {
  const size = 10 ** Math.floor(Math.log10(Math.max(highest, 1)));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= highest);
}

// `drawn`: name → points of {at, value}. The newest numbers stand beside the title.
function draw(svg, drawn, now, unit) {
  const values = [...drawn.values()].flat().map((point) => point.value);
  const most = ceiling(Math.max(1, ...values));
  const { clientWidth: width, clientHeight: height } = svg;
  const x = (at) => width - 2 - ((now - at) / (KEPT * EVERY_MS)) * (width - LEFT - 2);
  const y = (value) => TOP + (1 - value / most) * (height - TOP - BOTTOM);
  const parts = [0, most].map((value) => make("line", { class: "rule", x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
  parts.push(...[0, most].map((value) => make("text", { x: LEFT - 5, y: y(value) + 4, class: "end" }, whole.format(value))));
  parts.push(make("text", { x: LEFT, y: height - 2 }, "5 min ago"), make("text", { x: width - 2, y: height - 2, class: "end" }, "now"));
  const told = [];
  const newest = [];
  for (const [name, points] of drawn) {
    if (!points.length) continue;
    const latest = points.at(-1).value;
    parts.push(make("polyline", { class: `line ${name}`, points: points.map((point) => `${x(point.at)},${y(point.value)}`).join(" ") }));
    parts.push(make("circle", { class: "line", cx: x(points.at(-1).at), cy: y(latest), r: 1.6 }));
    newest.push(`${whole.format(latest)} ${name}`);
    told.push(`${name} ${whole.format(latest)}${unit}, at most ${whole.format(Math.max(...points.map((point) => point.value)))}`);
  }
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
  svg.parentElement.querySelector("figcaption span").textContent = newest.join(", ") || TOO_FEW;
  svg.setAttribute("aria-label", told.join("; ") || TOO_FEW);
}

function lines(kept, name, of) {
  const points = (lane) => kept.filter((each) => lane in each[name]).map((each) => ({ at: each.at, value: each[name][lane] }));
  return new Map(of.map((lane) => [lane, points(lane)]));
}

function drawAll(now) {
  for (const [channel, kept] of series) {
    const card = board.querySelector(`[data-channel=${channel}]`);
    draw(card.querySelector("[data-chart=ready]"), lines(kept, "ready", LANES), now, "");
    draw(card.querySelector("[data-chart=left]"), lines(kept, "left", [...LANES, "all"]), now, " a second");
  }
}

async function look() {
  const answer = await fetch(`${board.dataset.address}?after=${encodeURIComponent(cursor)}`);
  if (answer.status === 401) location.reload(); // to the sign-in page, and back here
  if (!answer.ok) throw new Error(String(answer.status));
  const numbers = await answer.json();
  const now = Date.now();
  cursor = numbers.cursor ?? "";
  tell(numbers);
  keep(numbers, now);
  drawAll(now);
}

async function follow() {
  if (!document.hidden) {
    try {
      await look();
      if (said.textContent) said.textContent = "";
    } catch {
      said.textContent = "The numbers cannot be reached now.";
    }
  }
  setTimeout(follow, EVERY_MS);
}

// Drawn for the width that there was.
addEventListener("resize", () => before && drawAll(before.at));

follow();
