// Asks for the numbers every three seconds, shows them, and draws the last five minutes of them.

const EVERY_MS = 3000;
const KEPT = 100;
const LEFT = 40;
const TOP = 8;
const BOTTOM = 18;
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

// What came, less what there is more of, has left: exactly, but for messages that a person sent again meanwhile.
function left(channel, seconds) {
  const former = before?.numbers.channels.find((each) => each.channel === channel.channel);
  if (!former || channel.accepted === null) return null;
  return Math.max(0, channel.accepted - (channel.unended - former.unended)) / seconds;
}

function keep(numbers, now) {
  const seconds = before ? (now - before.at) / 1000 : 1;
  for (const channel of numbers.channels) {
    const kept = series.get(channel.channel) ?? [];
    const ready = Object.fromEntries(channel.lanes.map((lane) => [lane.lane, lane.ready]));
    kept.push({ at: now, ready, left: left(channel, seconds) });
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

// `lines`: name → points of {at, value}. The newest number is written at the end of each line.
function draw(svg, lines, now, unit) {
  const values = [...lines.values()].flat().map((point) => point.value);
  const most = ceiling(Math.max(1, ...values));
  const { clientWidth: width, clientHeight: height } = svg;
  const x = (at) => width - 2 - ((now - at) / (KEPT * EVERY_MS)) * (width - LEFT - 2);
  const y = (value) => TOP + (1 - value / most) * (height - TOP - BOTTOM);
  const parts = [0, most].map((value) => make("line", { class: "rule", x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
  parts.push(...[0, most].map((value) => make("text", { x: LEFT - 5, y: y(value) + 4, class: "end" }, whole.format(value))));
  parts.push(make("text", { x: LEFT, y: height - 2 }, "5 min ago"), make("text", { x: width - 2, y: height - 2, class: "end" }, "now"));
  const told = [];
  for (const [name, points] of lines) {
    if (!points.length) continue;
    const latest = points.at(-1).value;
    parts.push(make("polyline", { class: `line ${name}`, points: points.map((point) => `${x(point.at)},${y(point.value)}`).join(" ") }));
    parts.push(make("circle", { class: "line", cx: x(points.at(-1).at), cy: y(latest), r: 1.6 }));
    told.push(`${name} ${whole.format(latest)}${unit}, at most ${whole.format(Math.max(...points.map((point) => point.value)))}`);
  }
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
  svg.setAttribute("aria-label", told.join("; ") || "No numbers yet");
}

function drawAll(now) {
  for (const [channel, kept] of series) {
    const card = board.querySelector(`[data-channel=${channel}]`);
    const ready = new Map(LANES.map((lane) => [lane, kept.map(({ at, ready }) => ({ at, value: ready[lane] }))]));
    draw(card.querySelector("[data-chart=ready]"), ready, now, "");
    const rate = kept.filter((each) => each.left !== null).map(({ at, left }) => ({ at, value: Math.round(left * 10) / 10 }));
    draw(card.querySelector("[data-chart=left]"), new Map([["all", rate]]), now, " a second");
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

follow();
