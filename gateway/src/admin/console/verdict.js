// In words: what sets the pace, and what is wrong. An operator's first question is whether a job
// waits for storage; the answer is in the shares of the stages that requests spend their time in.
//
// A stage belongs to who could make it shorter: the client and the network, this server's
// processors, or storage. What is said of the pace is a fact, never an alarm by itself; alarms are
// what has a limit that is met: a drive that fails, a lane that is always busy, memory waited for.

import { bytes, count, percent, perSecond, seconds, span } from "./format.js";

/** Each stage: whose it is, and what it waits for. */
export const STAGES = {
  accept: ["client", "the connection's first bytes"],
  parse: ["client", "the rest of the request's head"],
  auth: ["server", "checking the signature"],
  receive: ["client", "the client's bytes"],
  index: ["server", "the index"],
  queue: ["storage", "memory, or a place in a drive's queue"],
  device: ["storage", "drives"],
  verify: ["server", "checksums"],
  commit: ["storage", "a commit to disk"],
  send: ["client", "the client taking bytes"],
};

/** Whose a stage is, as it is called on the page. */
export const FAMILIES = { client: "Client and network", server: "This server", storage: "Storage" };

const LANE_FULL = 0.9;
const CONNECTIONS_FULL = 0.9;
const SPACE_LOW = 0.05;
const SOON_FULL_SECONDS = 86_400;
const ERRORS_BAD = 0.01;
const EVIDENCE_MAX = 8;
/** Fewer requests a second than this are none: one in 20 s. */
const IDLE_REQUESTS = 0.05;

/** `{question, level, headline, sentence, evidence: [{level, text}]}`; the levels: good, warn, bad, idle. */
export function verdict(state) {
  const alarms = [...faults(state), ...limits(state)].sort((one, other) =>
    (other.level === "bad") - (one.level === "bad"));
  const pace = paceOf(state);
  const worst = ["bad", "warn"].find((level) => alarms.some((one) => one.level === level));
  const fault = alarms.find((one) => one.level === "bad" && one.headline);
  if (!fault) {
    const evidence = alarms.concat(pace.evidence).slice(0, EVIDENCE_MAX);
    return { question: "What sets the pace?", level: worst ?? pace.level, headline: pace.headline, sentence: pace.sentence, evidence };
  }
  const rest = alarms.filter((one) => one !== fault).concat(pace.evidence).slice(0, EVIDENCE_MAX);
  return { question: "What is wrong?", level: "bad", headline: fault.headline, sentence: fault.text, evidence: rest };
}

/** What is broken. */
function faults(state) {
  const all = [];
  const bad = (headline, text) => all.push({ level: "bad", headline, text });
  if (state.draining) bad("The server is stopping", "It takes no new connections and ends what runs.");
  for (const drive of state.devices.filter((one) => one.state === "failed")) {
    bad("A drive has failed", `${drive.device} has failed; nothing more is written.`);
  }
  if (state.capacity.read_only) bad("Writing has stopped", "A fault made the store read-only. Reads go on.");
  if (!state.ready && all.length === 0) {
    for (const reason of state.reasons) bad("The server is not ready", reason);
    if (state.reasons.length === 0) bad("The server is not ready", "It gives no reason.");
  }
  for (const drive of state.devices.filter((one) => one.state === "suspect")) {
    all.push({ level: "warn", text: `Drive ${drive.device} is suspect: errors or far slower than usual.` });
  }
  for (const text of state.warnings) all.push({ level: "warn", text });
  const { requests, server_errors: errors } = state.rates;
  if (errors > 0) {
    const level = errors > requests * ERRORS_BAD ? "bad" : "warn";
    const text = `${perSecond(errors)} answers are server errors (${percent(errors / Math.max(errors, requests))}).`;
    all.push({ level, headline: "Requests fail", text });
  }
  if (state.rdma.enabled && state.rdma.up === false) {
    all.push({ level: "warn", text: "The RDMA device does not work; objects go by TCP." });
  }
  return all;
}

/** What has come to its limit. */
function limits(state) {
  const all = [];
  const warn = (text) => all.push({ level: "warn", text });
  const full = state.lanes.filter((lane) => lane.busy >= LANE_FULL);
  if (full.length > 0) {
    const which = full.length === 1 ? `Lane ${full[0].lane} is` : `${full.length} of ${state.lanes.length} lanes are`;
    warn(`${which} at least ${percent(LANE_FULL)} busy: this server's processors are at their limit.`);
  }
  const memory = state.memory;
  if (memory.waiting > 0) {
    const one = memory.waiting === 1;
    warn(`${count(memory.waiting)} ${one ? "request waits" : "requests wait"} for memory: raise the memory budget, or slow clients hold it.`);
  }
  const { connections, connections_limit: most } = state.rates;
  if (most > 0 && connections >= most * CONNECTIONS_FULL) {
    warn(`${count(connections)} of ${count(most)} connections are open.`);
  }
  const { bytes: size, free_bytes: free, full_in_seconds: left } = state.capacity;
  if (size > 0 && free < size * SPACE_LOW) warn(`Only ${bytes(free)} of ${bytes(size)} are free.`);
  if (left != null && left < SOON_FULL_SECONDS) warn(`The store is full in ${span(left)} at the present rate.`);
  const index = state.capacity;
  if (index.index_limit_bytes > 0 && index.index_bytes > index.index_limit_bytes * (1 - SPACE_LOW)) {
    warn("The index has almost all the space that it may have: raise index_map.");
  }
  return all;
}

/** The kinds of requests that there were, busiest first, with the shares of their families. */
export function groups(state) {
  const found = new Map();
  for (const stage of state.stages) {
    if (!(stage.share > 0)) continue;
    const group = found.get(stage.group) ?? { group: stage.group, stages: [], families: { client: 0, server: 0, storage: 0 } };
    group.stages.push(stage);
    group.families[STAGES[stage.stage]?.[0] ?? "server"] += stage.share;
    found.set(stage.group, group);
  }
  const weight = (name) => state.operations
    .filter((one) => groupOf(one.operation) === name)
    .reduce((sum, one) => sum + one.per_second * (one.p99_seconds ?? 0), 0);
  const all = [...found.values()].map((group) => ({ ...group, weight: weight(group.group) }));
  return all.sort((one, other) => other.weight - one.weight);
}

function groupOf(operation) {
  if (/^List/.test(operation)) return "list";
  if (/^(GetObject|HeadObject)/.test(operation)) return "read";
  if (/^(PutObject|UploadPart|CopyObject|CompleteMultipartUpload|CreateMultipartUpload)/.test(operation)) return "write";
  return "other";
}

const NAMES = { read: "Reads", write: "Writes", list: "Listings", other: "Other requests" };

/** Who sets the pace of the busiest kind of requests. */
function paceOf(state) {
  const { requests, in_flight: flying, p50_seconds: p50, p99_seconds: p99 } = state.rates;
  const over = Math.round(state.rates.window_seconds);
  if (requests < IDLE_REQUESTS) {
    const waits = flying > 0;
    return {
      level: "idle",
      headline: waits ? "Requests run, none has ended" : "Idle",
      sentence: waits
        ? `${count(flying)} in flight; none ended in the last ${over} s, so there is nothing to judge by yet.`
        : `No request in the last ${over} s. A job that waits now does not wait for this store.`,
      evidence: [],
    };
  }
  const busy = groups(state);
  const evidence = busy.slice(0, 3).map((group) => ({ level: "info", text: lineOf(group) }));
  const rate = `${perSecond(requests)} requests, half within ${seconds(p50)}, 99 of 100 within ${seconds(p99)}.`;
  if (busy.length === 0) {
    return { level: "good", headline: "Requests are served", sentence: `${rate} Their stages are not measured.`, evidence };
  }
  const [family, share] = Object.entries(busy[0].families).sort((one, other) => other[1] - one[1])[0];
  const kind = NAMES[busy[0].group] ?? busy[0].group;
  const words = {
    client: ["Clients and the network set the pace", "storage keeps up"],
    server: ["This server's processors set the pace", "signatures, the index and checksums"],
    storage: ["Storage sets the pace", storageWords(busy[0])],
  }[family];
  return {
    level: "good",
    headline: words[0],
    sentence: `${kind} spend ${percent(share)} of their time there: ${words[1]}. ${rate}`,
    evidence,
  };
}

function storageWords(group) {
  const own = group.stages.filter((stage) => STAGES[stage.stage]?.[0] === "storage");
  const first = own.sort((one, other) => other.share - one.share)[0];
  return `mostly waiting for ${STAGES[first.stage][1]}`;
}

function lineOf(group) {
  const parts = Object.entries(group.families)
    .filter(([, share]) => share >= 0.005)
    .sort((one, other) => other[1] - one[1])
    .map(([family, share]) => `${FAMILIES[family].toLowerCase()} ${percent(share)}`);
  return `${NAMES[group.group] ?? group.group}: ${parts.join(", ")}.`;
}
