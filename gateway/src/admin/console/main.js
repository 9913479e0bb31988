// The console: asks for the state each second, shows it, and says when it cannot.
//
// Owns: the loop, what the reader has chosen (pause, theme, filter), and the token, which lives in
// this tab's session storage and goes to this server alone.
//
//   asking ──200──▶ live ──no answer in 3 s──▶ stale (figures stay, dimmed, with their time)
//     └──401──▶ locked: a token is asked for          paused, or the tab is hidden: no questions

import { Chart } from "./chart.js";
import { bytesPerSecond, clock, perSecond, seconds, span } from "./format.js";
import { at, keep, make, rows, set, write } from "./page.js";
import { panels } from "./panels.js";
import { requests } from "./requests.js";
import { verdict } from "./verdict.js";

const PERIOD = 1000;
/** Between tries when the last ones failed, at most. */
const PERIOD_MAX = 5000;
/** How long an answer may take. */
const PATIENCE = 5000;
/** Figures older than this are said to be. */
const STALE = 3000;
const TOKEN = "penstock-token";
const THEME = "penstock-theme";

const charts = [
  { title: "Throughput", format: bytesPerSecond, floor: 3072, binary: true, series: [
    { key: "one", name: "out", of: (it) => it.sent_bytes },
    { key: "two", name: "in", of: (it) => it.received_bytes },
    { key: "three", name: "RDMA", of: (it) => it.rdma_bytes }] },
  { title: "Latency", format: seconds, floor: 0.0005, series: [
    { key: "one", name: "p99", of: (it) => it.p99_seconds },
    { key: "two", name: "p50", of: (it) => it.p50_seconds }] },
  { title: "Requests", format: perSecond, floor: 3, series: [
    { key: "one", name: "all", of: (it) => it.requests },
    { key: "bad", name: "5xx", of: (it) => it.server_errors }] },
  { title: "Drives", format: bytesPerSecond, floor: 3072, binary: true, series: [
    { key: "one", name: "read", of: (it) => it.device_read_bytes },
    { key: "two", name: "written", of: (it) => it.device_written_bytes }] },
].map((one) => new Chart(at("charts"), one));

let paused = false;
let latest = null;
let answered = 0;
let failures = 0;
let problem = null;
let timer = null;
let asking = false;

/** Headers that show the token, when there is one. */
function credentials() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Asks this server something; rejects when it does not answer in time. */
function ask(path, options = {}) {
  const headers = credentials();
  return fetch(path, { ...options, headers, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(PATIENCE) });
}

async function turn() {
  if (asking || paused || document.hidden) return;
  asking = true;
  try {
    const answer = await ask("/api/v1/state");
    if (answer.status === 401) return locked();
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    latest = await answer.json();
    answered = Date.now();
    failures = 0;
    problem = null;
    show(latest);
  } catch (error) {
    failures += 1;
    problem = error.name === "TimeoutError" ? "no answer in 5 s" : error instanceof TypeError ? "the server cannot be reached" : error.message;
  } finally {
    asking = false;
    presence();
    schedule();
  }
}

function schedule() {
  clearTimeout(timer);
  if (paused || document.hidden || at("token-dialog").open) return;
  timer = setTimeout(turn, Math.min(PERIOD_MAX, PERIOD * 2 ** Math.min(failures, 3)));
}

/** Says whether what is on the page is of now. */
function presence() {
  const age = Date.now() - answered;
  const lost = failures > 0 && (!answered || age > STALE);
  const state = paused ? "paused" : lost ? "no" : answered ? "yes" : "no";
  set(at("live"), { "data-live": state });
  const since = answered ? clock(answered / 1000) : null;
  write(at("live-text"), paused ? "paused" : state === "yes" ? "live" : "not connected");
  set(at("main"), { "data-state": !answered ? "waiting" : lost || paused ? "stale" : "live" });
  const banner = at("banner");
  const text = lost ? `${since ? `These figures are of ${since}: ` : ""}${problem}. Trying again.` : "";
  write(banner, text);
  banner.hidden = !text;
}

function show(state) {
  const { ready, draining, version, uptime_seconds: uptime } = state;
  write(at("version"), version);
  write(at("uptime"), `up ${span(uptime)}`);
  set(at("ready"), { "data-level": draining ? "warn" : ready ? "good" : "bad" });
  write(at("ready-text"), draining ? "Stopping" : ready ? "Ready" : "Not ready");
  document.title = `${ready ? "" : "Not ready · "}Penstock`;
  for (const element of document.querySelectorAll(".window")) write(element, Math.round(state.rates.window_seconds));
  judge(verdict(state));
  for (const chart of charts) chart.update(state.history);
  panels(state);
  requests(at("slow-list"), state.slow, "No request in the last 15 minutes.");
  requests(at("error-list"), state.errors, "No error since the start.");
  settings(state.configuration);
}

function judge(said) {
  set(at("overview"), { "data-level": said.level });
  write(at("verdict-question"), said.question);
  write(at("verdict-headline"), said.headline);
  write(at("verdict-sentence"), said.sentence);
  keep(at("verdict-evidence"), said.evidence, (one) => one.text.replace(/[\d.,]+/g, "#"),
    () => make("li"),
    (item, one) => {
      write(item, one.text);
      set(item, { "data-level": one.level });
    });
}

function settings(list) {
  const filter = at("settings-filter").value.trim().toLowerCase();
  const changed = at("settings-changed").checked;
  const shown = list.filter((one) =>
    (!changed || one.source !== "default") && `${one.name} ${one.value}`.toLowerCase().includes(filter));
  write(at("settings-count"), `${shown.length} of ${list.length} settings`);
  rows(at("setting-rows"), shown, (one) => one.name, [
    { of: (one) => one.name, head: true, class: "mono" },
    { of: (one) => one.value, class: "mono value" },
    { of: (one) => one.source, class: "muted" },
  ], "No setting has that.");
}

// ----- the token ------------------------------------------------------------------------------

const dialog = at("token-dialog");

function locked() {
  const had = sessionStorage.getItem(TOKEN);
  sessionStorage.removeItem(TOKEN);
  trust();
  openDialog(had ? "The server does not know that token any more." : "This server shows its figures to those with a token.");
}

function openDialog(why) {
  clearTimeout(timer);
  write(at("token-why"), why);
  write(at("token-outcome"), "");
  at("token-forget").hidden = !sessionStorage.getItem(TOKEN);
  if (!dialog.open) dialog.showModal();
  at("token-value").focus();
}

async function useToken(event) {
  event.preventDefault();
  const value = at("token-value").value.trim();
  if (!/^[A-Za-z0-9._~+/=-]+$/.test(value)) return write(at("token-outcome"), "A token has letters, digits and -._~+/= alone.");
  const before = sessionStorage.getItem(TOKEN);
  sessionStorage.setItem(TOKEN, value);
  try {
    // Only who is trusted may read the log, so this tells whether the token is one.
    const answer = await ask("/api/v1/log", { method: "HEAD" });
    if (answer.ok) {
      at("token-value").value = "";
      dialog.close();
    } else {
      before ? sessionStorage.setItem(TOKEN, before) : sessionStorage.removeItem(TOKEN);
      write(at("token-outcome"), "The server does not know this token.");
    }
  } catch {
    sessionStorage.removeItem(TOKEN);
    write(at("token-outcome"), "The server cannot be reached.");
  }
  trust();
}

/** Says what the reader may do. */
function trust() {
  const has = sessionStorage.getItem(TOKEN) != null;
  write(at("token"), has ? "Token in use" : "Enter token");
  write(at("trust-note"), has ? "with your token" : "needs a token");
}

// ----- orders ---------------------------------------------------------------------------------

async function order(place, work) {
  write(place, "…");
  try {
    const answer = await work();
    if (answer.status === 401) {
      write(place, "");
      openDialog("This needs a token.");
      return null;
    }
    if (!answer.ok) {
      write(place, (await answer.text()).trim() || `the server answered ${answer.status}`);
      return null;
    }
    return answer;
  } catch {
    write(place, "The server cannot be reached.");
    return null;
  }
}

async function publicRead(event) {
  event.preventDefault();
  const bucket = at("public-bucket").value.trim();
  const state = event.submitter?.value ?? "off";
  if (state === "on" && !confirm(`Let anybody read the objects of ${bucket} without a signature?`)) return;
  const outcome = at("public-outcome");
  const path = `/buckets/${encodeURIComponent(bucket)}/public-read?${state}`;
  const answer = await order(outcome, () => ask(path, { method: "PUT" }));
  if (answer) write(outcome, state === "on" ? `Anybody may read ${bucket} now.` : `${bucket} is private now, unless public_read in the configuration lists it.`);
}

async function showLog() {
  const outcome = at("log-outcome");
  const answer = await order(outcome, () => ask("/api/v1/log"));
  if (!answer) return;
  const text = (await answer.text()).trimEnd();
  write(outcome, text ? `${text.split("\n").length} lines, the newest last` : "Nothing has been logged.");
  const place = at("log-lines");
  place.hidden = false;
  write(place, text);
  place.scrollTop = place.scrollHeight;
  write(at("log-show"), "Show them again");
}

// ----- what the reader chooses ----------------------------------------------------------------

function pause() {
  paused = !paused;
  set(at("pause"), { "aria-pressed": String(paused) });
  write(at("pause"), paused ? "Resume" : "Pause");
  presence();
  if (!paused) turn();
}

const THEMES = ["system", "light", "dark"];

function theme(next) {
  if (next === "system") localStorage.removeItem(THEME);
  else localStorage.setItem(THEME, next);
  set(document.documentElement, { "data-theme": next === "system" ? null : next });
  write(at("theme"), `Theme: ${next}`);
}

at("pause").addEventListener("click", pause);
at("theme").addEventListener("click", () => {
  const now = localStorage.getItem(THEME) ?? "system";
  theme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
at("token").addEventListener("click", () => openDialog("Reading the log and changing things needs a token."));
at("token-form").addEventListener("submit", useToken);
at("token-cancel").addEventListener("click", () => dialog.close());
at("token-forget").addEventListener("click", () => {
  sessionStorage.removeItem(TOKEN);
  trust();
  dialog.close();
});
dialog.addEventListener("close", turn);
at("public-read").addEventListener("submit", publicRead);
at("log-show").addEventListener("click", showLog);
for (const id of ["settings-filter", "settings-changed"]) {
  at(id).addEventListener("input", () => latest && settings(latest.configuration));
}
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : turn()));
setInterval(presence, PERIOD);

theme(THEMES.includes(localStorage.getItem(THEME)) ? localStorage.getItem(THEME) : "system");
trust();
turn();
