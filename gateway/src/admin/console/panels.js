// The tables and bars of a state, one function a panel. What takes a state, fills its panel, and
// keeps nothing.

import { at, bar, facts, keep, make, rows, set, write } from "./page.js";
import { bytes, bytesPerSecond, count, grouped, percent, perSecond, seconds, span } from "./format.js";
import { FAMILIES, STAGES, groups } from "./verdict.js";

/** Fills all panels. */
export function panels(state) {
  tiles(state);
  stages(state);
  operations(state);
  drives(state);
  paths(state);
  lanes(state);
  memory(state);
  capacity(state);
  rdma(state);
  tenants(state);
  background(state);
}

const sum = (list, of) => list.reduce((all, one) => all + of(one), 0);
const most = (list, of) => list.reduce((all, one) => Math.max(all, of(one) ?? 0), 0);

function tiles(state) {
  const { rates, lanes, devices, memory, capacity } = state;
  const busiest = most(lanes, (one) => one.busy);
  const troubled = devices.filter((one) => one.state !== "ok");
  const slowest = most(devices, (one) => Math.max(one.read_p99_seconds ?? 0, one.write_p99_seconds ?? 0));
  const used = capacity.bytes > 0 ? 1 - capacity.free_bytes / capacity.bytes : null;
  const shares = [
    ["Requests", perSecond(rates.requests), `${count(rates.in_flight)} in flight, ${count(rates.connections)} of ${count(rates.connections_limit)} connections`],
    ["Out", bytesPerSecond(rates.sent_bytes), `${bytesPerSecond(rates.rdma_bytes)} of all by RDMA`],
    ["In", bytesPerSecond(rates.received_bytes), "request bodies"],
    ["Latency p99", seconds(rates.p99_seconds), `p50 ${seconds(rates.p50_seconds)}, first byte p99 ${seconds(rates.first_byte_p99_seconds)}`],
    ["Errors 5xx", perSecond(rates.server_errors), `4xx ${perSecond(rates.client_errors)}`, rates.server_errors > 0 ? "bad" : null],
    ["Busiest lane", percent(busiest), `${count(rates.cpu)} cores in use, ${lanes.length} ${lanes.length === 1 ? "lane" : "lanes"}`, busiest >= 0.9 ? "warn" : null],
    ["Drives p99", slowest ? seconds(slowest) : "–", troubled.length ? `${troubled.length} of ${devices.length} not ok` : `${devices.length === 1 ? "the drive is" : `all ${devices.length} are`} ok`, troubled.length ? (troubled.some((one) => one.state === "failed") ? "bad" : "warn") : null],
    ["Cache hits", percent(memory.cache_hit_ratio), `${bytes(memory.cache_bytes)} cached`],
    ["Space used", percent(used), capacity.full_in_seconds == null ? "not filling up" : `full in ${span(capacity.full_in_seconds)}`, used > 0.95 ? "warn" : null],
  ];
  keep(at("tiles"), shares, ([name]) => name,
    ([name]) => make("div", { class: "tile" }, make("p", { class: "tile-name" }, name), make("p", { class: "tile-value" }), make("p", { class: "tile-note" })),
    (tile, [, value, note, level]) => {
      write(tile.children[1], value);
      write(tile.children[2], note);
      set(tile, { "data-level": level });
    });
}

const KINDS = { read: "Reads", write: "Writes", list: "Listings", other: "Others" };

function stages(state) {
  const all = groups(state);
  const place = at("stages");
  keep(at("families"), Object.entries(FAMILIES), ([family]) => family,
    ([family, name]) => make("li", {}, make("span", { class: "swatch-box", "data-family": family, "aria-hidden": "true" }), name),
    () => {});
  keep(place, all, (group) => group.group,
    (group) => make("div", { class: "stack-row" },
      make("span", { class: "stack-name" }, KINDS[group.group] ?? group.group), make("div", { class: "stack", role: "img" })),
    (row, group) => stack(row.lastElementChild, group.stages.map((one) => [one.stage, one.share]), KINDS[group.group], 1));
  set(place, { "data-empty": all.length ? null : "yes" });
  stageTable(all);
}

/** A row a stage, three columns a kind of requests. */
function stageTable(all) {
  const body = at("stage-rows");
  const kinds = all.map((group) => group.group).join();
  if (body.dataset.kinds !== kinds) {
    // Other columns: other rows.
    body.dataset.kinds = kinds;
    body.replaceChildren();
    const over = all.map((group) => make("th", { scope: "colgroup", colspan: 3 }, KINDS[group.group] ?? group.group));
    const under = all.flatMap(() => ["Share", "p50", "p99"].map((name, index) =>
      make("th", { scope: "col", class: index ? "n" : "n first" }, name)));
    at("stage-head").replaceChildren(
      make("tr", {}, make("th", { scope: "col", rowspan: 2 }, "Stage"), make("th", { scope: "col", rowspan: 2, class: "less" }, "Waits for"), ...over),
      make("tr", {}, ...under));
  }
  const list = Object.keys(STAGES).filter((stage) => all.some((group) => find(group, stage)));
  const columns = all.flatMap((group) => [
    { of: (stage) => percent(find(group, stage)?.share), class: "n first" },
    { of: (stage) => seconds(find(group, stage)?.p50_seconds), class: "n" },
    { of: (stage) => seconds(find(group, stage)?.p99_seconds), class: "n" },
  ]);
  rows(body, list, (stage) => stage, [
    { of: (stage) => stage, head: true, each: (stage) => `of-${STAGES[stage][0]}` },
    { of: (stage) => STAGES[stage][1], class: "muted less" },
    ...columns,
  ], "No requests in this time.");
}

const find = (group, stage) => group.stages.find((one) => one.stage === stage);

/** One bar of parts: `[stage, amount]`, of all of them or of `least`, whichever is more; parts that are wide enough have their name in them. */
export function stack(element, parts, name, least = 0) {
  const whole = Math.max(least, sum(parts, ([, amount]) => amount)) || 1;
  const width = element.clientWidth;
  // At 12 px a character of a bold system font takes 8 px at most.
  const fits = (text, share) => share * width >= text.length * 8 + 10;
  keep(element, parts.filter(([, amount]) => amount / whole >= 0.002), ([stage]) => stage,
    ([stage]) => make("span", { class: "part", "data-family": STAGES[stage]?.[0] ?? "server" }, make("span", {})),
    (part, [stage, amount]) => {
      const share = amount / whole;
      const percents = `${(share * 100).toFixed(2)}%`;
      if (part.style.width !== percents) part.style.width = percents;
      const texts = [`${stage} ${percent(share)}`, stage];
      write(part.firstElementChild, texts.find((text) => fits(text, share)));
      set(part, { title: `${stage} ${percent(share)}` });
    });
  const text = parts.map(([stage, amount]) => `${stage} ${percent(amount / whole)}`).join(", ");
  set(element, { "aria-label": `${name}: ${text}` });
}

function operations(state) {
  const list = [...state.operations].sort((one, other) =>
    other.per_second - one.per_second || other.requests - one.requests);
  rows(at("operation-rows"), list, (one) => one.operation, [
    { of: (one) => one.operation, head: true },
    { of: (one) => perSecond(one.per_second), class: "n" },
    { of: (one) => count(one.in_flight), class: "n" },
    { of: (one) => seconds(one.p50_seconds), class: "n" },
    { of: (one) => seconds(one.p99_seconds), class: "n" },
    { of: (one) => grouped(one.requests), class: "n less" },
    { of: (one) => grouped(one.errors), class: "n" },
  ], "No request since the start.");
}

const DRIVE_LEVELS = { ok: "good", suspect: "warn", failed: "bad" };

function drives(state) {
  const list = state.devices;
  const wrong = list.filter((one) => one.state !== "ok").length;
  write(at("drives-note"), list.length > 1 ? `${list.length} drives, ${wrong ? `${wrong} not ok` : "all ok"}` : "");
  rows(at("drive-rows"), list, (one) => one.device, [
    { of: (one) => one.device, head: true, class: "name" },
    { of: (one) => one.state, badge: (one) => DRIVE_LEVELS[one.state] ?? "warn" },
    { of: (one) => bytesPerSecond(one.read_bytes), class: "n" },
    { of: (one) => perSecond(one.reads), class: "n" },
    { of: (one) => seconds(one.read_p99_seconds), class: "n" },
    { of: (one) => bytesPerSecond(one.written_bytes), class: "n" },
    { of: (one) => perSecond(one.writes), class: "n" },
    { of: (one) => seconds(one.write_p99_seconds), class: "n" },
    { of: (one) => count(one.in_flight), class: "n" },
    { of: (one) => grouped(one.errors), class: "n", alarm: (one) => one.errors > 0 },
    { of: (one) => percent(one.wear), class: "n", alarm: (one) => one.wear >= 0.8 },
  ], "No drives.");
}

const SOURCES = { cache: "cache", device: "drive", joined: "another's read", record: "index record", document: "made on the fly" };
const COPIES = {
  socket_send: "into sockets", socket_receive: "out of sockets", frame: "between frames", tls: "by TLS",
};
const DELIVERIES = { socket: "TCP", tls: "TLS", ktls: "TLS of the kernel", rdma: "RDMA" };

function paths(state) {
  const list = [...state.paths].sort((one, other) => other.per_second - one.per_second || other.bytes - one.bytes);
  const now = sum(list, (one) => one.per_second);
  const ever = sum(list, (one) => one.bytes);
  const share = (one) => (now > 0 ? one.per_second / now : ever > 0 ? one.bytes / ever : 0);
  rows(at("path-rows"), list, (one) => `${one.source}/${one.delivery}`, [
    { of: (one) => SOURCES[one.source] ?? one.source, head: true },
    { of: (one) => DELIVERIES[one.delivery] },
    { of: (one) => percent(share(one)), bar: share },
    { of: (one) => bytesPerSecond(one.per_second), class: "n" },
    { of: (one) => bytes(one.bytes), class: "n" },
  ], "No bytes since the start.");
  rows(at("copied-rows"), state.copied, (one) => one.path, [
    { of: (one) => COPIES[one.path] ?? one.path.replaceAll("_", " "), head: true },
    { of: (one) => bytesPerSecond(one.per_second), class: "n" },
    { of: (one) => bytes(one.bytes), class: "n" },
  ], "Nothing since the start.");
}

function lanes(state) {
  const list = state.lanes;
  const mean = list.length ? sum(list, (one) => one.busy) / list.length : 0;
  write(at("lanes-note"), list.length ? `${percent(mean)} busy on average` : "");
  rows(at("lane-rows"), list, (one) => one.lane, [
    { of: (one) => one.lane, head: true },
    { of: (one) => percent(one.busy), bar: (one) => one.busy, level: (one) => (one.busy >= 0.9 ? "warn" : null) },
    { of: (one) => perSecond(one.requests), class: "n" },
    { of: (one) => perSecond(one.wakeups), class: "n" },
    { of: (one) => perSecond(one.submissions), class: "n" },
    { of: (one) => count(one.connections), class: "n" },
  ], "No lanes.");
}

/** Bars of `[name, used, of, text, level]`. */
function gauges(place, list) {
  const build = ([name]) => make("div", { class: "gauge" }, make("span", { class: "gauge-name" }, name), make("span", { class: "gauge-bar" }));
  keep(place, list, ([name]) => name, build, (element, [, used, all, text, level]) => {
    bar(element.lastElementChild, all > 0 ? used / all : 0, text, level);
  });
}

const of = (used, all) => `${bytes(used)} of ${bytes(all)}`;

function memory(state) {
  const it = state.memory;
  const taken = it.arena_bytes - it.arena_free_bytes;
  gauges(at("memory-bars"), [
    ["Arena in use", taken, it.arena_bytes, of(taken, it.arena_bytes)],
    ["of it cached", it.cache_bytes, it.arena_bytes, of(it.cache_bytes, it.arena_bytes)],
    ["Readers hold", it.read_reserved_bytes, it.read_share_bytes, of(it.read_reserved_bytes, it.read_share_bytes)],
    ["Writers hold", it.write_reserved_bytes, it.write_share_bytes, of(it.write_reserved_bytes, it.write_share_bytes)],
  ]);
  facts(at("memory-facts"), [
    ["Cache hits", percent(it.cache_hit_ratio)],
    ["Evictions", perSecond(it.evictions)],
    ["Requests waiting for memory", count(it.waiting)],
    ["Resident", bytes(state.rates.resident_bytes)],
  ]);
}

function capacity(state) {
  const { capacity: it, commit } = state;
  const used = it.bytes - it.free_bytes;
  const level = it.bytes > 0 && it.free_bytes < it.bytes * 0.05 ? "warn" : null;
  gauges(at("capacity-bars"), [
    ["Objects", used, it.bytes, of(used, it.bytes), level],
    ["Index", it.index_bytes, it.index_limit_bytes, of(it.index_bytes, it.index_limit_bytes)],
  ]);
  facts(at("capacity-facts"), [
    ["Full in", it.full_in_seconds == null ? "not filling up" : span(it.full_in_seconds)],
    ["Longest free run", bytes(it.longest_free_run_bytes)],
    ["Writing", it.read_only ? "stopped by a fault" : "open"],
    ["Mutations", perSecond(commit.mutations)],
    ["Mutations waiting", count(commit.queued)],
    ["Mutations a commit", count(commit.batch)],
    ["Mutation p99", seconds(commit.p99_seconds)],
  ]);
}

function rdma(state) {
  const it = state.rdma;
  const [level, word, note] = !it.enabled
    ? ["idle", "off", "Objects go by TCP: there is no RDMA device, or rdma.mode is off."]
    : it.up === false
      ? ["bad", "down", "The device does not work. Clients are told to use HTTP."]
      : ["good", "on", it.transfers > 0 ? "Objects go by RDMA now." : "Ready; nobody uses it now."];
  set(at("rdma-badge"), { "data-level": level });
  write(at("rdma-badge"), word);
  write(at("rdma-note"), note);
  facts(at("rdma-facts"), [
    ["Device", it.device ?? "none"],
    ["Peers", count(it.peers)],
    ["Transfers", perSecond(it.transfers)],
    ["Bytes", bytesPerSecond(it.bytes)],
  ]);
  const list = Object.entries(it.declines).sort((one, other) => other[1] - one[1]);
  rows(at("rdma-rows"), list, ([reason]) => reason, [
    { of: ([reason]) => reason.replaceAll("_", " "), head: true },
    { of: ([, number]) => grouped(number), class: "n" },
  ], "None.");
}

function tenants(state) {
  const kinds = [["Buckets", state.buckets, "Bucket"], ["Users", state.users, "Access key"], ["Clients", state.clients, "Address"]];
  keep(at("tenant-tables"), kinds, ([name]) => name, ([name, , head]) => {
    const cells = [head, "Requests", "Errors", "In", "Out"].map((text, index) =>
      make("th", { scope: "col", class: index ? "n" : null }, text));
    const table = make("table", {}, make("caption", { class: "hidden" }, name),
      make("thead", {}, make("tr", {}, ...cells)), make("tbody"));
    const scroll = make("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": `${name}, table` }, table);
    return make("div", {}, make("h3", {}, name), scroll);
  }, (element, [, list]) => {
    rows(element.querySelector("tbody"), list, (one) => one.name, [
      { of: (one) => one.name, head: true, class: "name", title: (one) => one.name },
      { of: (one) => perSecond(one.requests), class: "n" },
      { of: (one) => perSecond(one.errors), class: "n", alarm: (one) => one.errors > 0 },
      { of: (one) => bytesPerSecond(one.received_bytes), class: "n" },
      { of: (one) => bytesPerSecond(one.sent_bytes), class: "n" },
    ], "Nobody yet.");
  });
  keep(at("bucket-names"), state.buckets.filter((one) => one.name !== "other"), (one) => one.name,
    (one) => make("option", { value: one.name }), () => {});
}

function background(state) {
  rows(at("background-rows"), state.background, (one) => one.job, [
    { of: (one) => one.job.replaceAll("_", " "), head: true },
    { of: (one) => one.about, class: "muted" },
    { of: (one) => (one.pending ? "has work" : "nothing to do"), badge: (one) => (one.pending ? "info" : "idle") },
    { of: (one) => perSecond(one.per_second), class: "n" },
    { of: (one) => grouped(one.items), class: "n" },
  ], "Nothing runs beside requests.");
}
