// Single requests: the slowest, and the last errors. Each is a line that opens into what is known of
// it. What the reader has opened stays open while the list changes around it.

import { keep, make, set, write, facts } from "./page.js";
import { bytes, clock, decoded, moment, seconds } from "./format.js";
import { stack } from "./panels.js";
import { STAGES } from "./verdict.js";

/** Shows a list of requests; `none` is said of an empty one. */
export function requests(place, list, none) {
  if (list.length === 0) {
    if (place.dataset.none !== "yes") place.replaceChildren(make("p", { class: "muted none" }, none));
    place.dataset.none = "yes";
    return;
  }
  if (place.dataset.none === "yes") place.replaceChildren();
  place.dataset.none = "no";
  keep(place, list, (one) => one.id || `${one.time}/${one.operation}`, build, update);
}

function build() {
  const line = make("summary", {},
    make("span", { class: "request-time" }), make("span", { class: "request-status" }),
    make("span", { class: "request-what" }), make("span", { class: "request-most" }),
    make("span", { class: "request-seconds" }));
  const bar = make("div", { class: "stack", role: "img" });
  const details = make("details", { class: "request" }, line, make("div", { class: "request-detail" }, bar, make("dl", { class: "facts" })));
  details.addEventListener("toggle", () => details.open && detail(details.lastElementChild, details.request));
  return details;
}

function update(element, one) {
  // A request that has ended does not change.
  if (element.dataset.filled === "yes") return;
  element.dataset.filled = "yes";
  const [time, status, what, longest, took] = element.firstElementChild.children;
  write(time, clock(one.time));
  write(status, one.status === 0 ? "gone" : one.status);
  set(status, { "data-class": one.status === 0 ? "0" : String(one.status)[0] });
  const path = [one.bucket, one.key && decoded(one.key)].filter((part) => part != null).join("/");
  what.append(make("strong", {}, one.operation), path ? ` ${path}` : "", one.code ? make("em", {}, ` ${one.code}`) : "");
  set(what, { title: path || null });
  const stages = Object.entries(one.stages).sort((left, right) => right[1] - left[1]);
  write(longest, stages.length ? `${stages[0][0]} ${seconds(stages[0][1])}` : "");
  write(took, seconds(one.seconds));
  element.request = one;
}

/** What is known of one; drawn when it is opened, since only then a bar has a width. */
function detail(place, one) {
  const [bar, list] = place.children;
  const order = Object.keys(STAGES);
  const stages = Object.entries(one.stages).sort(([left], [right]) => order.indexOf(left) - order.indexOf(right));
  const known = stages.reduce((all, [, time]) => all + time, 0);
  bar.hidden = stages.length === 0;
  stack(bar, stages, "Stages");
  const rest = one.seconds - known;
  const times = stages.map(([stage, time]) => `${stage} ${seconds(time)}`).join(", ");
  const sources = Object.entries(one.sources).map(([source, size]) => `${bytes(size)} ${source}`).join(", ");
  facts(list, [
    ["Stages", times ? `${times}${rest > one.seconds * 0.01 ? `, between them ${seconds(rest)}` : ""}` : null],
    ["First byte", one.first_byte_seconds == null ? null : seconds(one.first_byte_seconds)],
    ["In", bytes(one.received_bytes)],
    ["Out", `${bytes(one.sent_bytes)} by ${one.delivery === "rdma" ? "RDMA" : one.delivery === "socket" ? "TCP" : "TLS"}${sources ? ` (${sources})` : ""}`],
    ["Ended", moment(one.time)],
    ["Request id", one.id],
    ["Bucket", one.bucket],
    ["Key", one.key && decoded(one.key)],
    ["Access key", one.user ?? "anonymous"],
    ["Client", one.client],
    ["Trace", one.trace],
  ]);
}
