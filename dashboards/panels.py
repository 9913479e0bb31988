"""Building blocks of boards: queries, panels, rows, the page around them, as Grafana's JSON.

Owns what all boards have in common: their look, their variables, how panels flow into the grid of
24 columns. What is shown where is in `boards/`. Grafana 10.4 and later read the result.
"""

import re
from dataclasses import dataclass, field, replace

COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCOPE = 'job=~"$job", instance=~"$instance"'
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_NAME = re.compile(r"\b((?:penstock|process)[_:][a-zA-Z0-9_:]+|up|scrape_[a-z_]+)\b(\{)?(?!\w*[\(])")

GOOD, WARN, BAD, PLAIN = "green", "orange", "red", "blue"


def scoped(query: str) -> str:
    """The query with `R` as the window and every series limited to the chosen servers."""
    query = " ".join(query.split()).replace("[R]", "[$__rate_interval]")
    pieces = re.split(r"(\"[^\"]*\")", query)
    for index in range(0, len(pieces), 2):
        pieces[index] = _NAME.sub(
            lambda hit: hit[1] + "{" + SCOPE + (", " if hit[2] else "}"), pieces[index]
        )
    return "".join(pieces)


@dataclass(frozen=True)
class Query:
    """One query of a panel, as `scoped` reads it, with the legend of its series."""

    expr: str
    legend: str = ""
    exemplar: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel: what it asks, how it shows it, what to do when it looks bad."""

    kind: str
    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    defaults: dict = field(default_factory=dict)
    overrides: tuple = ()
    options: dict = field(default_factory=dict)
    transformations: tuple = ()

    def json(self, number: int, x: int, y: int) -> dict:
        """The panel at that place."""
        instant = self.kind in ("stat", "table", "bargauge")
        form = {"heatmap": "heatmap", "table": "table"}.get(self.kind, "time_series")
        targets = [
            {
                "datasource": DATASOURCE,
                "editorMode": "code",
                "exemplar": query.exemplar,
                "expr": scoped(query.expr),
                "format": form,
                "instant": instant,
                "legendFormat": query.legend or "__auto",
                "range": not instant,
                "refId": LETTERS[index],
            }
            for index, query in enumerate(self.queries)
        ]
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": " ".join(self.about.split()),
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": targets,
            "fieldConfig": {
                "defaults": {"unit": self.unit, **self.defaults},
                "overrides": list(self.overrides),
            },
            "options": self.options,
            "transformations": list(self.transformations),
        }


def queries(given) -> tuple[Query, ...]:
    """One query, a pair of query and legend, or several of them."""
    if isinstance(given, str):
        return (Query(given),)
    if isinstance(given, Query):
        return (given,)
    return tuple(it if isinstance(it, Query) else Query(*it) for it in given)


def steps(*limits: tuple[float, str], first: str = GOOD) -> dict:
    """Thresholds: the first colour, then each colour from its value on."""
    made = [{"color": first, "value": None}]
    made += [{"color": colour, "value": value} for value, colour in limits]
    return {"mode": "absolute", "steps": made}


def graph(title, unit, given, about, width=8, **more) -> Panel:
    """Lines over time. `stack`, `most` (top of the axis), `limits` (dashed lines), `log`."""
    stack, most, limits = more.pop("stack", False), more.pop("most", None), more.pop("limits", None)
    log, height = more.pop("log", False), more.pop("height", 8)
    assert not more, more
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 35 if stack else 8,
        "gradientMode": "none",
        "showPoints": "never",
        "pointSize": 5,
        "spanNulls": False,
        "insertNulls": False,
        "axisPlacement": "auto",
        "axisColorMode": "text",
        "axisLabel": "",
        "barAlignment": 0,
        "lineStyle": {"fill": "solid"},
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
    }
    defaults = {
        "color": {"mode": "palette-classic"},
        "thresholds": limits or steps(),
        "mappings": [],
        "custom": custom,
    }
    if not log:
        defaults["min"] = 0
    if most is not None:
        defaults["max"] = most
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["mean", "max", "lastNotNull"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel("timeseries", title, about, unit, queries(given), width, height, defaults, (), options)


def stat(title, unit, given, about, width=4, **more) -> Panel:
    """One number. `limits` colours it, `words` are (value, text, colour), `none` is for no data."""
    words, none = more.pop("words", ()), more.pop("none", None)
    limits, height = more.pop("limits", steps(first=PLAIN)), more.pop("height", 4)
    decimals = more.pop("decimals", None)
    assert not more, more
    mappings = []
    if words:
        texts = {
            str(value): {"text": text, "color": colour, "index": index}
            for index, (value, text, colour) in enumerate(words)
        }
        mappings.append({"type": "value", "options": texts})
    defaults = {"color": {"mode": "thresholds"}, "thresholds": limits, "mappings": mappings}
    if none is not None:
        defaults["noValue"] = none
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "textMode": "auto",
        "orientation": "auto",
    }
    return Panel("stat", title, about, unit, queries(given), width, height, defaults, (), options)


def bars(title, unit, given, about, width=8, **more) -> Panel:
    """The present values as bars, largest where the query sorts it."""
    limits, most = more.pop("limits", steps(first=PLAIN)), more.pop("most", None)
    height = more.pop("height", 8)
    assert not more, more
    defaults = {"color": {"mode": "thresholds"}, "thresholds": limits, "mappings": [], "min": 0}
    if most is not None:
        defaults["max"] = most
    options = {
        "displayMode": "basic",
        "valueMode": "color",
        "showUnfilled": True,
        "minVizWidth": 8,
        "minVizHeight": 16,
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return Panel("bargauge", title, about, unit, queries(given), width, height, defaults, (), options)


def heatmap(title, unit, bucket, about, width=12, height=9) -> Panel:
    """How a histogram's observations spread over time. `bucket` selects `..._bucket` series."""
    expr = f"sum by (le) (increase({bucket}[R]))"
    options = {
        "calculate": False,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "fill": "dark-orange",
            "scale": "exponential",
            "exponent": 0.5,
            "steps": 64,
            "reverse": False,
        },
        "cellGap": 1,
        "showValue": "never",
        "filterValues": {"le": 1e-9},
        "rowsFrame": {"layout": "auto"},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
    }
    custom = {
        "scaleDistribution": {"type": "linear"},
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
    }
    made = Panel("heatmap", title, about, "short", (Query(expr, "{{le}}"),), width, height)
    return replace(made, defaults={"custom": custom}, options=options)


def table(title, columns, about, width=12, height=8, sort=None) -> Panel:
    """One row for each combination of labels. `columns` are (heading, unit, query)."""
    hidden = {"Time": True}
    names, overrides = {}, []
    for index, (heading, unit, _) in enumerate(columns):
        name = f"Value #{LETTERS[index]}" if len(columns) > 1 else "Value"
        names[name] = heading
        overrides.append(
            {
                "matcher": {"id": "byName", "options": heading},
                "properties": [{"id": "unit", "value": unit}],
            }
        )
    transformations = [{"id": "merge", "options": {}}] if len(columns) > 1 else []
    transformations.append(
        {"id": "organize", "options": {"excludeByName": hidden, "renameByName": names, "indexByName": {}}}
    )
    defaults = {
        "color": {"mode": "thresholds"},
        "thresholds": steps(first=PLAIN),
        "mappings": [],
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True},
    }
    options = {
        "showHeader": True,
        "cellHeight": "sm",
        "frameIndex": 0,
        "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": []},
        "sortBy": [{"displayName": sort or columns[0][0], "desc": True}],
    }
    made = tuple(Query(query) for _, _, query in columns)
    return Panel(
        "table", title, about, "short", made, width, height, defaults, tuple(overrides), options,
        tuple(transformations),
    )  # fmt: skip


def quantiles(metric: str, matchers: str = "", by: str = "", name: str = "", exemplar=False) -> tuple:
    """Median, 99th and 99.9th of a hundred, of a histogram without `_bucket`."""
    group = "le" + (f", {by}" if by else "")
    legend = f"{{{{{by}}}}} " if by else name
    select = f"{metric}_bucket" + (f"{{{matchers}}}" if matchers else "")
    return tuple(
        Query(f"histogram_quantile({value}, sum by ({group}) (rate({select}[R])))", legend + text, exemplar)
        for value, text in (("0.5", "p50"), ("0.99", "p99"), ("0.999", "p99.9"))
    )


@dataclass(frozen=True)
class Row:
    """Panels under a heading, in reading order."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Choice:
    """A variable of one board: the values of a label."""

    name: str
    label: str
    metric: str


@dataclass(frozen=True)
class Board:
    """One page, which answers one question."""

    uid: str
    title: str
    question: str
    rows: tuple[Row, ...]
    choices: tuple[Choice, ...] = ()

    def panels(self):
        """All its panels."""
        return [panel for row in self.rows for panel in row.panels]

    def json(self) -> dict:
        """The dashboard as Grafana imports it."""
        return {
            "uid": f"penstock-{self.uid}",
            "title": f"Penstock / {self.title}",
            "description": " ".join(self.question.split()),
            "tags": ["penstock"],
            "timezone": "browser",
            "editable": True,
            "graphTooltip": 1,
            "refresh": "10s",
            "schemaVersion": 38,
            "time": {"from": "now-1h", "to": "now"},
            "timepicker": {},
            "templating": {"list": self._variables()},
            "annotations": {"list": []},
            "links": [
                {
                    "type": "dashboards",
                    "title": "Penstock",
                    "tags": ["penstock"],
                    "asDropdown": True,
                    "includeVars": True,
                    "keepTime": True,
                    "icon": "external link",
                    "targetBlank": False,
                    "tooltip": "The other boards, for the same servers and time",
                    "url": "",
                }
            ],
            "panels": self._placed(),
        }

    def _placed(self) -> list:
        placed, y = [], 0
        for row in self.rows:
            placed.append(
                {
                    "id": len(placed) + 1,
                    "type": "row",
                    "title": row.title,
                    "collapsed": False,
                    "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
                    "panels": [],
                }
            )
            y, x, tallest = y + 1, 0, 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, tallest = 0, y + tallest, 0
                placed.append(panel.json(len(placed) + 1, x, y))
                x, tallest = x + panel.width, max(tallest, panel.height)
            y += tallest
        return placed

    def _variables(self) -> list:
        made = [
            {
                "type": "datasource",
                "name": "datasource",
                "label": "Data source",
                "query": "prometheus",
                "hide": 0,
                "multi": False,
                "includeAll": False,
                "refresh": 1,
                "regex": "",
                "skipUrlSync": False,
            },
            _values("job", "Job", "penstock_build_info", ""),
            _values("instance", "Server", "penstock_build_info", 'job=~"$job"'),
        ]
        made += [_values(it.name, it.label, it.metric, SCOPE) for it in self.choices]
        return made


def _values(name: str, label: str, metric: str, matchers: str) -> dict:
    query = f"label_values({metric}{{{matchers}}}, {name})" if matchers else f"label_values({metric}, {name})"
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": f"variable-{name}"},
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "allValue": ".*",
        "includeAll": True,
        "multi": True,
        "hide": 0,
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
    }
