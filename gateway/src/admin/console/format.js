// Numbers as people read them: three digits that count, the unit beside, a dash for what is not.

const NONE = "–";

/** Three significant digits, without a tail of zeros. */
function short(value) {
  if (value === 0) return "0";
  if (Math.abs(value) >= 100) return Math.round(value).toString();
  return Number(value.toPrecision(3)).toString();
}

/** A number of something: 950, 12.3k, 4.56M. */
export function count(value) {
  if (value == null) return NONE;
  for (const [least, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    const scale = unit === "k" ? 1e3 : least;
    if (Math.abs(value) >= least * 0.9995) return short(value / scale) + unit;
  }
  return Math.abs(value) >= 100 ? grouped(Math.round(value)) : short(value);
}

/** All digits, in groups of three. */
export function grouped(value) {
  return value.toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Bytes in powers of 1,024, as in the configuration. */
export function bytes(value) {
  if (value == null) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (Math.abs(value) >= 1023.5 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return short(value) + "\u00a0" + units[at];
}

/** Something a second; small rates that are not none stay visible. */
export function perSecond(value) {
  if (value == null) return NONE;
  if (value > 0 && value < 0.01) return "<\u200a0.01/s";
  return count(value) + "/s";
}

/** Bytes a second. */
export function bytesPerSecond(value) {
  if (value == null) return NONE;
  return bytes(value > 0 && value < 1 ? 1 : value) + "/s";
}

/** A length of time: 812 µs, 4.2 ms, 1.25 s, 3 min. */
export function seconds(value) {
  if (value == null) return NONE;
  if (value === 0) return "0";
  if (value < 999.5e-6) return short(value * 1e6) + "\u00a0µs";
  if (value < 0.9995) return short(value * 1e3) + "\u00a0ms";
  if (value < 119.5) return short(value) + "\u00a0s";
  return span(value);
}

/** A long time in its two largest units: 3 d 4 h. */
export function span(value) {
  if (value == null) return NONE;
  const units = [[86400 * 365, "y"], [86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const parts = [];
  let rest = Math.floor(value);
  for (const [size, unit] of units) {
    const whole = Math.floor(rest / size);
    if (whole > 0 && parts.length < 2) parts.push(whole + "\u00a0" + unit);
    else if (parts.length === 1) break;
    rest -= whole * size;
  }
  return parts.length ? parts.join(" ") : "0\u00a0s";
}

/** A share of 1 as per cent. */
export function percent(share) {
  if (share == null) return NONE;
  const value = share * 100;
  if (value > 0 && value < 0.1) return "<\u200a0.1\u00a0%";
  if (value > 99.9 && value < 100) return "99.9\u00a0%";
  return (value < 9.95 ? short(Number(value.toFixed(1))) : Math.round(value)) + "\u00a0%";
}

/** Time of day where the reader is. */
export function clock(time) {
  return new Date(time * 1000).toTimeString().slice(0, 8);
}

/** The same with the day. */
export function moment(time) {
  return new Date(time * 1000).toISOString().replace("T", " ").replace("Z", " UTC");
}

/** A key or bucket as a person would write it; what is not UTF-8 stays encoded. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
