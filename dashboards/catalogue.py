"""What a query may name: the metrics of docs/METRICS.md and the recording rules beside them.

Owns the reading of both and the check of a query against them. The check is about names, kinds and
labels; whether the whole is PromQL is promtool's and Prometheus's to say.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent
METRICS = ROOT.parent / "docs" / "METRICS.md"
RULES = ROOT / "prometheus" / "penstock.rules.yml"

# What Prometheus itself puts on or beside every series that it scrapes.
TARGET_LABELS = frozenset({"job", "instance"})
SCRAPE_METRICS = {"up": "gauge", "scrape_duration_seconds": "gauge", "scrape_samples_scraped": "gauge"}

_ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| ([^|]*) \|", re.MULTILINE)
_NAME = re.compile(r"\b((?:penstock|process)[_:][a-zA-Z0-9_:]+|up|scrape_[a-z_]+)\b(\s*\{[^}]*\})?(\s*\[)?")
_MATCHER = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_TEXT = re.compile(r"\"[^\"]*\"")


class Metric:
    """A row of the table."""

    def __init__(self, kind: str, labels: frozenset) -> None:
        self.kind = kind
        self.labels = labels


def metrics() -> dict[str, Metric]:
    """Every name that a query may use: histograms under the three names that Prometheus stores."""
    found = {name: Metric(kind, frozenset()) for name, kind in SCRAPE_METRICS.items()}
    for name, kind, labels in _ROW.findall(METRICS.read_text()):
        labels = frozenset(re.findall(r"`([a-z_]+)`", labels))
        if kind == "histogram":
            found[f"{name}_bucket"] = Metric("counter", labels | {"le"})
            found[f"{name}_sum"] = Metric("counter", labels)
            found[f"{name}_count"] = Metric("counter", labels)
        else:
            found[name] = Metric(kind, labels)
    return found


def recorded() -> frozenset:
    """Names of the recording rules."""
    return frozenset(re.findall(r"^\s*- record: (\S+)$", RULES.read_text(), re.MULTILINE))


def faults(query: str, legend: str = "") -> list[str]:
    """What is wrong with a query and the legend that goes with it."""
    known, rules = metrics(), recorded()
    found, labels, names = [], set(TARGET_LABELS), 0
    for name, matchers, window in _NAME.findall(_TEXT.sub(_blank, query)):
        names += 1
        if name in rules:
            # A recording rule's labels are its own affair: it is told by job and instance.
            used = set(_MATCHER.findall(matchers)) - TARGET_LABELS
            found += [f"{name} has no label {label}" for label in sorted(used)]
            continue
        if name not in known:
            found.append(f"{name} is neither in docs/METRICS.md nor a recording rule")
            continue
        metric = known[name]
        labels |= metric.labels
        used = set(_MATCHER.findall(matchers)) - TARGET_LABELS - metric.labels
        found += [f"{name} has no label {label}" for label in sorted(used)]
        if metric.kind == "counter" and not window:
            found.append(f"{name} is a counter: it says something as rate or increase only")
        if metric.kind == "gauge" and re.search(rf"\b(rate|increase|irate)\(\s*{name}\b", query):
            found.append(f"{name} is a gauge: it has no rate")
    if not names:
        found.append("names no metric")
    grouped = {label.strip() for group in _GROUPING.findall(query) for label in group.split(",")}
    grouped |= set(re.findall(r"\{\{\s*(\w+)\s*\}\}", legend))
    # label_replace and label_join make labels of their own.
    grouped -= set(re.findall(r"label_(?:replace|join)\(.*?,\s*\"(\w+)\"", query, re.DOTALL))
    found += [f"no metric of the query has the label {label}" for label in sorted(grouped - labels - {""})]
    return found


def _blank(text: re.Match) -> str:
    """The text without what could be taken for a name or a brace."""
    return '"' + re.sub(r"[^\"]", "_", text.group()[1:-1]) + '"' if len(text.group()) > 2 else '""'
