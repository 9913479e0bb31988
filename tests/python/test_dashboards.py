"""Boards and rules against Grafana's schema, promtool, and a real Prometheus beside a loaded server.

What cannot have data in that run is in dashboards/no_data.yml, with its reason.
"""

import collections
import copy
import json
import math
import re
import subprocess
import sys
import time

import grafana_schema
import observed as observed_module
import pytest
import yaml

DASHBOARDS = observed_module.ROOT / "dashboards"
PROMETHEUS = DASHBOARDS / "prometheus"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((DASHBOARDS / "grafana").glob("*.json"))}
sys.path.insert(0, str(DASHBOARDS))

import catalogue  # noqa: E402: it stands beside the boards

# A range that holds some scrapes for what Grafana would choose, and the whole run for what is asked
# once, at its end.
RATE_INTERVAL = "10s"
WHOLE_RUN = "10m"

_SELECTOR = re.compile(r"\b((?:penstock|process)[_:][a-zA-Z0-9_:]+|up|scrape_[a-z_]+)\b(\s*\{[^}]*\})?")


def panels(board):
    """A board's panels that are no rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def rules():
    """All rules: (file, rule)."""
    for name in ("penstock.rules.yml", "penstock.alerts.yml"):
        for group in yaml.safe_load((PROMETHEUS / name).read_text())["groups"]:
            yield from ((name, rule) for rule in group["rules"])


def alerts():
    """All alerts."""
    return [rule for _, rule in rules() if "alert" in rule]


def promtool(*arguments, text=None):
    """Runs promtool, which has to be content; gives what it said."""
    done = subprocess.run(
        ["promtool", *arguments], input=text, capture_output=True, text=True, timeout=600, check=False,
        cwd=PROMETHEUS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# --- What can be said without a server -----------------------------------------------------------


def test_boards_are_what_the_layout_code_writes():
    done = subprocess.run(
        [sys.executable, DASHBOARDS / "build.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_what_grafanas_schema_says(name):
    assert grafana_schema.faults(BOARDS[name]) == []


def first(board, kind):
    """The first panel of a kind."""
    return next(panel for panel in board["panels"] if panel["type"] == kind)


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("colour", lambda it: it.update(colour="red")),
        ("fillOpacty", lambda it: first(it, "timeseries")["fieldConfig"]["defaults"]["custom"].update(fillOpacty=1)),
        ("wiggle", lambda it: first(it, "timeseries")["fieldConfig"]["defaults"]["custom"].update(drawStyle="wiggle")),
        ("relative", lambda it: first(it, "stat")["fieldConfig"]["defaults"]["thresholds"].update(mode="relative")),
        ("'8'", lambda it: first(it, "stat")["gridPos"].update(w="8")),
        ("expression", lambda it: first(it, "stat")["targets"][0].update(expression="up")),
        ("cubic", lambda it: first(it, "heatmap")["options"]["color"].update(scale="cubic")),
        ("speedometer", lambda it: first(it, "stat").update(type="speedometer")),
        ("refresh", lambda it: it["templating"]["list"][1].update(refresh=7)),
        ("arguments", lambda it: first(it, "table")["transformations"][0].update(arguments={})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_schema_refuses_what_is_wrong(what, spoil):
    board = copy.deepcopy(BOARDS["drives"])
    assert grafana_schema.faults(board) == []
    spoil(board)
    assert what in str(grafana_schema.faults(board))


@pytest.mark.parametrize(
    ("query", "legend", "what"),
    [
        ("sum(penstock_store_bites)", "", "neither in"),
        ("sum by (bucket) (rate(penstock_requests_total[5m]))", "", "bucket"),
        ('rate(penstock_requests_total{verb="GET"}[5m])', "", "verb"),
        ("rate(penstock_requests_total[5m])", "{{device}}", "device"),
        ("sum(penstock_requests_total)", "", "counter"),
        ("rate(penstock_connections[5m])", "", "gauge"),
        ("rate(penstock_request_stage_seconds[5m])", "", "neither in"),
        ("penstock:nothing:rate5m", "", "neither in"),
        ("1 + 1", "", "no metric"),
    ],
)
def test_a_query_that_names_what_is_not_there_is_refused(query, legend, what):
    assert what in str(catalogue.faults(query, legend))


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_can_be_read(name):
    board, places, seen = BOARDS[name], set(), set()
    for panel in board["panels"]:
        grid = panel["gridPos"]
        assert panel["id"] not in seen, panel["title"]
        seen.add(panel["id"])
        assert grid["x"] + grid["w"] <= 24, panel["title"]
        covered = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not covered & places, f"{panel['title']} lies over another"
        places |= covered
    for panel in panels(board):
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len(panel["description"]) > 80, panel["title"]


def test_boards_have_names_of_their_own():
    for field in ("uid", "title"):
        values = [board[field] for board in BOARDS.values()]
        assert len(set(values)) == len(values)


def test_every_metric_is_on_a_board():
    shown = " ".join(t["expr"] for board in BOARDS.values() for panel in panels(board) for t in panel["targets"])
    for name in table():
        assert re.search(rf"\b{name}(_bucket|_sum|_count)?\b", shown), f"{name} is on no board"


def table():
    """Metrics of docs/METRICS.md: name to kind."""
    found = {name: kind for name, kind, _ in catalogue._ROW.findall(catalogue.METRICS.read_text())}
    assert len(found) > 100
    return found


def test_promtool_takes_the_rules():
    said = promtool("check", "rules", "penstock.rules.yml", "penstock.alerts.yml")
    assert said.count("SUCCESS") == 2, said


def test_rules_name_metrics_that_are_there():
    for _, rule in rules():
        assert catalogue.faults(rule["expr"]) == [], rule


def test_every_alert_says_what_to_do():
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket", "info"), rule["alert"]
        assert len(rule["annotations"]["runbook"]) > 30, rule["alert"]
    # A runbook may send the reader to another alert or to a board: they have to be there.
    titles = {panel["title"] for board in BOARDS.values() for panel in panels(board)} | headings()
    about = [rule["annotations"]["runbook"] for rule in alerts()]
    about += [panel["description"] for board in BOARDS.values() for panel in panels(board)]
    for text in about:
        for other in re.findall(r"\bPenstock[A-Z]\w+", text):
            assert other in names, f"{other} in: {text}"
        for title in re.findall(r"'([A-Z][^']+)'", text):
            assert title in titles, f"{title} in: {text}"


def headings():
    """Titles of boards and headings of tables' columns."""
    found = {board["title"].removeprefix("Penstock / ") for board in BOARDS.values()}
    for board in BOARDS.values():
        for panel in panels(board):
            for step in panel["transformations"]:
                found |= set(step["options"].get("renameByName", {}).values())
    return found


def test_the_document_names_every_board_and_alert():
    document = (observed_module.ROOT / "docs" / "GRAFANA.md").read_text()
    for rule in alerts():
        held = f"| `{rule['alert']}` | {rule['labels']['severity']} | "
        assert held in document, f"{held} is not in docs/GRAFANA.md"
    for board in BOARDS.values():
        assert f"| {board['title'].removeprefix('Penstock / ')}" in document
    titles = {panel["title"] for board in BOARDS.values() for panel in panels(board)}
    titles |= {row["title"] for board in BOARDS.values() for row in board["panels"] if row["type"] == "row"}
    for title in re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", document):
        assert title in titles | {"Penstock", "BurnsFast", "BurnsSlowly"}, title


def test_every_alert_fires_and_does_not():
    fires, silent = set(), set()
    recorded = {rule["record"]: rule["expr"] for _, rule in rules() if "record" in rule}

    def measured(expr):
        """The metrics behind a query, through recording rules."""
        for name, _ in selectors(expr):
            yield from measured(recorded[name]) if name in recorded else [name]

    looked_at = {rule["alert"]: set(measured(rule["expr"])) for rule in alerts()}
    names = set(looked_at)
    for case in yaml.safe_load((PROMETHEUS / "tests.yml").read_text())["tests"]:
        for ask in case["promql_expr_test"]:
            if "ALERTS" in ask["expr"]:
                here = set(re.findall(r'alertname="(\w+)"', json.dumps(ask["exp_samples"]).replace("\\", "")))
                fires |= here
                # Silent counts where all that the alert looks at is there.
                there = {re.split(r"[{ ]", one["series"])[0] for one in case["input_series"]}
                silent |= {alert for alert in names - here if looked_at[alert] <= there}
    assert fires == names
    assert silent == names
    assert "SUCCESS" in promtool("test", "rules", "tests.yml")


def test_prometheus_takes_its_configuration():
    said = promtool("check", "config", str(DASHBOARDS / "prometheus.yml"))
    assert "2 rule files found" in said, said


def test_grafana_finds_what_it_is_pointed_at():
    compose = yaml.safe_load((DASHBOARDS / "compose.yaml").read_text())
    mounted = {}
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            if source.startswith("./"):
                assert (DASHBOARDS / source).exists(), source
                mounted[target] = DASHBOARDS / source
    provider = yaml.safe_load((DASHBOARDS / "provisioning/dashboards/penstock.yaml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    assert sorted(path.stem for path in mounted[folder].glob("*.json")) == sorted(BOARDS)
    source = yaml.safe_load((DASHBOARDS / "provisioning/datasources/prometheus.yaml").read_text())
    assert source["datasources"][0]["type"] == "prometheus"


# --- Against a real Prometheus --------------------------------------------------------------------


@pytest.fixture(scope="module")
def observed():
    """A server that has been asked everything, and the Prometheus that watched."""
    try:
        run = observed_module.Observed()
    except RuntimeError as error:
        pytest.fail(str(error))
    try:
        run.began = time.time()
        observed_module.Load(run).run()
        run.ended = time.time()
        yield run
        assert "panicked" not in run.log("server"), run.log("server")
    finally:
        run.stop()


def concrete(query, window):
    """A query as Grafana would send it with all servers, drives and tenants chosen."""
    query = query.replace("$__rate_interval", window)
    query = query.replace("$job", "penstock")
    return re.sub(r"\$(instance|device|bucket|user)\b", ".*", query)


def has_data(run, query, instant):
    """Whether Prometheus has a number for it: at the end of the run, or anywhere in it."""
    if instant:
        data = run.ask("query", query=concrete(query, WHOLE_RUN), time=run.ended)
        values = [series["value"] for series in data["result"]]
    else:
        data = run.ask(
            "query_range", query=concrete(query, RATE_INTERVAL), start=run.began, end=run.ended, step="2"
        )
        values = [value for series in data["result"] for value in series["values"]]
    return any(not math.isnan(float(value)) for _, value in values)


def excused():
    """Series that cannot have data, with their reasons."""
    entries = yaml.safe_load((DASHBOARDS / "no_data.yml").read_text())
    return {series: entry["reason"] for entry in entries for series in entry["series"]}


def selectors(expr):
    """Every choice of series in a query, by the name of its metric."""
    for name, matchers in _SELECTOR.findall(expr):
        yield name, name + matchers


def asked():
    """Every query: (where, metrics that it names, query, whether once)."""
    for board in BOARDS.values():
        for panel in panels(board):
            for target in panel["targets"]:
                place = f"{board['title']} / {panel['title']} / {target['refId']}"
                yield place, target["expr"], target["instant"]
    for name, rule in rules():
        if "record" in rule:
            yield f"{name} / {rule['record']}", rule["expr"], True
        else:
            # An alert has data when something is wrong: what it looks at has to be there.
            for _, selector in selectors(rule["expr"]):
                yield f"{name} / {rule['alert']} / {selector}", selector, True


def test_every_query_of_every_panel_and_rule_has_data(observed, capsys):
    queries, excuses, used = list(asked()), excused(), collections.Counter()
    answers = observed_module.everything_at_once(
        [lambda it=it: has_data(observed, it[1], it[2]) for it in queries]
    )
    empty, without = [], []
    for (place, expr, _), answer in zip(queries, answers):
        named = {name for name, _ in selectors(expr)} & {base(series) for series in excuses}
        if answer:
            continue
        alone = [(name, has_data(observed, selector, True)) for name, selector in selectors(expr)]
        missing = {name for name, present in alone if not present}
        if named and missing <= named:
            used.update(named)
            without.append(place)
        else:
            empty.append(f"{place}: {expr}")
    with capsys.disabled():
        count = sum(len(panels(board)) for board in BOARDS.values())
        recorded = sum("record" in rule for _, rule in rules())
        print(
            f"\n{len(table())} metrics, {len(BOARDS)} boards, {count} panels, {recorded} recording rules, "
            f"{len(alerts())} alerts: {len(queries)} queries, {len(queries) - len(without) - len(empty)} with data, "
            f"{len(without)} excused"
        )
    assert not empty, "\n".join(empty)
    unneeded = {base(series) for series in excuses} - set(used)
    assert not unneeded, f"no query needs the excuse of {sorted(unneeded)}"


def base(series):
    """The name of the metric of an excuse."""
    return series.split("{")[0]


def test_every_metric_of_the_table_has_data_or_an_excuse(observed):
    excuses, missing, there = excused(), [], []
    for name, kind in table().items():
        series = f"{name}_bucket" if kind == "histogram" else name
        found = observed.ask("series", **{"match[]": series, "start": observed.began})
        if not found and name not in excuses:
            missing.append(name)
        if found and name in excuses:
            there.append(name)
    assert not missing, f"neither exported nor excused: {missing}"
    assert not there, f"excused, but there: {there}"
    known = {base(series) for series in excuses}
    assert known <= set(table()), f"excused, but no metrics: {known - set(table())}"


def test_nothing_is_exported_that_the_table_does_not_have(observed):
    text, _ = observed.exposition()
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert names
    assert names <= set(table())


def test_variables_offer_choices(observed):
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
            values = observed.ask(f"label/{label}/values", **{"match[]": concrete(series, WHOLE_RUN)})
            assert values, f"{board['title']}: {variable['name']}"


def test_promtool_takes_the_exposition(observed):
    text, kind = observed.exposition()
    assert kind.startswith("text/plain")
    assert promtool("check", "metrics", text=text) == ""


def test_prometheus_scraped_all_the_time(observed):
    answer = observed.ask("query", query=f"min_over_time(up[{WHOLE_RUN}])", time=observed.ended)
    assert [series["value"][1] for series in answer["result"]] == ["1"]
    (target,) = observed.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


def test_rules_are_worked_out_without_errors(observed):
    for group in observed.ask("rules")["groups"]:
        for rule in group["rules"]:
            assert rule["health"] == "ok", rule


def test_exemplars_lead_from_a_bucket_to_a_trace(observed):
    text, kind = observed.exposition(observed_module.OPENMETRICS)
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    for metric in ("penstock_request_duration_seconds", "penstock_request_first_byte_seconds"):
        found = observed.ask(
            "query_exemplars", query=f"{metric}_bucket", start=observed.began, end=observed.ended
        )
        traces = [it["labels"]["trace_id"] for series in found for it in series["exemplars"]]
        assert traces, metric
        assert all(re.fullmatch("[0-9a-f]{32}", trace) for trace in traces)
    assert observed.collector.posts > 0


def test_the_run_of_mistakes_is_seen(observed):
    """The figures themselves, where the run knows what they have to be."""
    def value(query):
        answer = observed.ask("query", query=query, time=observed.ended)["result"]
        return float(answer[0]["value"][1]) if answer else 0.0

    assert value('sum(penstock_request_errors_total{code="InsufficientStorage"})') == 4
    assert value('sum(penstock_request_errors_total{code="NotImplemented"})') == 4
    assert value('sum(penstock_request_errors_total{code="SignatureDoesNotMatch"})') == 4
    assert value('sum(penstock_requests_total{status="5xx"})') == 8
    assert value('sum(penstock_refused_total{reason="protocol"})') == 3
    assert value('sum(penstock_refused_total{reason="tls_on_plain"})') == 3
    assert value("max(penstock:faults:ratio_rate5m)") > 0
    assert value('max(penstock_user_requests_total{user="anonymous", status="2xx"})') >= 20
