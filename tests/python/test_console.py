"""The console in a real browser: with the real server under load, and with states made up.

`GATEWAY_TEST_SCREENSHOTS=FOLDER` also keeps pictures: idle and under load, light and dark, phone.
"""

import json
import os
import pathlib
import threading
import urllib.request

import pytest

browser_module = pytest.importorskip("browser")
import console_model  # noqa: E402

# Without the browser there is nothing to see; `make test` installs it.
MISSING = browser_module.missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "there")
CHECKS = (pathlib.Path(__file__).parent / "contrast.js").read_text()
PHONE = (360, 740)
MIB = 1 << 20


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of this file."""
    tab = browser_module.Browser()
    yield tab
    tab.close()


@pytest.fixture
def model():
    """Shows the console with states made up."""
    made = []

    def make(kind="load", token=None):
        made.append(console_model.Model(kind, token))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(autouse=True)
def nothing_left(request):
    """Theme, size and token of one test are not the next one's."""
    yield
    if "browser" in request.fixturenames:
        tab = request.getfixturevalue("browser")
        tab.run("try { localStorage.clear(); sessionStorage.clear() } catch {}")
        tab.show(1440, 900)


def open_live(browser, address):
    """Opens the console and waits for its first figures."""
    browser.open(address)
    browser.until(lambda: browser.attribute("#main", "data-state") == "live", "figures")


def keep_picture(browser, name, path=os.environ.get("GATEWAY_TEST_SCREENSHOTS")):
    """Keeps a picture where somebody wants some."""
    if path:
        folder = pathlib.Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        browser.picture(folder / f"{name}.png")


@pytest.fixture
def load(gateway, s3, bucket):
    """Clients that write and read until the test has ended."""
    body = os.urandom(2 * MIB)
    s3.put_object(Bucket=bucket, Key="shard-00000.tar", Body=body)
    stop = threading.Event()
    failures = []

    def work(number):
        try:
            while not stop.is_set():
                got = s3.get_object(Bucket=bucket, Key="shard-00000.tar")["Body"].read()
                assert len(got) == len(body)
                if number == 0:
                    s3.put_object(Bucket=bucket, Key="checkpoint", Body=body)
                    s3.list_objects_v2(Bucket=bucket)
                    with pytest.raises(s3.exceptions.NoSuchKey):
                        s3.get_object(Bucket=bucket, Key="no such key")
        except Exception as error:  # noqa: BLE001 - the test says what it was
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    yield bucket
    stop.set()
    for worker in workers:
        worker.join()
    assert not failures, failures


# ----- the real server ----------------------------------------------------------------------------


def test_it_shows_the_load_that_runs(browser, gateway, load):
    """Figures of the page are the server's, and move with what clients do."""
    open_live(browser, gateway.admin)
    tile = lambda name: f"#tiles [data-key='{name}'] .tile-value"  # noqa: E731
    browser.until(lambda: browser.text(tile("Requests")) not in ("", "0/s", "–"), "a rate of requests")
    browser.until(lambda: "MiB/s" in browser.text(tile("Out")), "megabytes a second out")
    browser.until(lambda: browser.text("#operation-rows [data-key=GetObject]"), "GetObject")
    browser.until(lambda: browser.text(f"#tenant-tables [data-key='{load}']"), "the bucket")
    browser.until(lambda: browser.text(f"#tenant-tables [data-key='{gateway.access_key}']"), "the user")
    browser.until(lambda: browser.text("#stages [data-key=read]"), "stages of reads")
    browser.until(lambda: "NoSuchKey" in browser.text("#error-list"), "the error that was made")
    browser.until(lambda: browser.text("#slow-list .request"), "a slow request")
    browser.until(lambda: "ok" in browser.text("#drive-rows tr").lower(), "the drive")
    assert browser.text("#ready-text") == "Ready"
    assert browser.text("#verdict-headline") not in ("", "Idle", "Waiting for the first figures")
    with urllib.request.urlopen(f"{gateway.admin}/api/v1/state", timeout=10) as answer:
        state = json.load(answer)
    assert browser.text("#version") == state["version"]
    reads = next(one for one in state["operations"] if one["operation"] == "GetObject")
    shown = int("".join(filter(str.isdigit, browser.text("#operation-rows [data-key=GetObject] .less"))))
    assert 0 < shown <= reads["requests"] + 1000 and shown >= reads["requests"] - 1000
    line = "#charts .chart [data-key=one] .line"
    before = browser.attribute(line, "d")
    browser.until(lambda: browser.attribute(line, "d") != before, "a line that moves")
    names = {row["name"] for row in state["configuration"]}
    browser.until(lambda: browser.text("#setting-rows [data-key=memory]"), "the configuration")
    assert {"memory", "listen", "secret_key"} <= names
    page = browser.run("return document.documentElement.outerHTML")
    assert gateway.secret_key not in page and gateway.secret_key not in json.dumps(state)
    assert browser.complaints() == []
    for dark in (False, True):
        browser.show(1440, 900, dark=dark)
        keep_picture(browser, f"console-load-{'dark' if dark else 'light'}")
    browser.show(*PHONE)
    keep_picture(browser, "console-phone")


def test_nothing_is_asked_of_anybody_else(browser, gateway):
    """All requests go to the server, and the policy that the page comes with lets no other."""
    open_live(browser, gateway.admin)
    asked = browser.until(lambda: browser.requests(), "requests")
    own = [url for url in asked if not url.startswith("about:")]
    assert own and all(url.startswith(gateway.admin + "/") for url in own), own
    script = "try { await fetch('http://127.0.0.1:1/'); return 'sent' } catch { return 'refused' }"
    browser.run(f"window.tried = (async () => {{ {script} }})().then((it) => (window.outcome = it))")
    browser.until(lambda: browser.run("return window.outcome") == "refused", "a refusal")
    assert any("Content Security Policy" in one for one in browser.complaints())


def test_public_reading_needs_the_token_and_works(browser, gateway, s3, bucket):
    """The page changes nothing without a token, and with one it does what it says."""
    s3.put_object(Bucket=bucket, Key="open", Body=b"for all")
    address = f"{gateway.endpoint}/{bucket}/open"
    browser.show(1440, 900)
    open_live(browser, gateway.admin)
    browser.run("window.confirm = () => true")
    browser.fill("#public-bucket", bucket)
    browser.click("#public-read button[value=on]")
    browser.until(lambda: browser.run("return document.getElementById('token-dialog').open"), "the question")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(address, timeout=10)
    browser.fill("#token-value", "0" * 64)
    browser.click("#token-form button[type=submit]")
    browser.until(lambda: "does not know" in browser.text("#token-outcome"), "a refusal")
    browser.fill("#token-value", gateway.token())
    browser.click("#token-form button[type=submit]")
    browser.until(lambda: not browser.run("return document.getElementById('token-dialog').open"), "acceptance")
    browser.click("#public-read button[value=on]")
    browser.until(lambda: "Anybody may read" in browser.text("#public-outcome"), "success")
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.read() == b"for all"
    browser.click("#public-read button[value=off]")
    browser.until(lambda: "private now" in browser.text("#public-outcome"), "success")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(address, timeout=10)
    browser.fill("#public-bucket", "no-such-bucket")
    browser.click("#public-read button[value=on]")
    browser.until(lambda: "no-such-bucket" in browser.text("#public-outcome"), "what is wrong")
    browser.click("#log-show")
    browser.until(lambda: "public-read was set" in browser.text("#log-lines"), "the log")
    assert gateway.token() not in browser.text("#log-lines")


def test_an_idle_server_says_so(browser, gateway):
    """Nothing runs: the page says that a job does not wait for the store."""
    open_live(browser, gateway.admin)
    browser.until(lambda: browser.text("#verdict-headline") == "Idle", "idleness", within=40)
    assert "does not wait for this store" in browser.text("#verdict-sentence")
    for dark in (False, True):
        browser.show(1440, 900, dark=dark)
        keep_picture(browser, f"console-idle-{'dark' if dark else 'light'}")


# ----- states made up -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["idle", "load", "fault"])
@pytest.mark.parametrize("size", [(1440, 900), (1024, 768), PHONE], ids=["desk", "small", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everybody_can_read_it(browser, model, kind, size, dark):
    """Contrast, names, landmarks, headings; nothing is wider than the window; no complaints."""
    browser.show(*size, dark=dark)
    open_live(browser, model(kind).address)
    assert browser.run(CHECKS) == []
    widths = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert widths == [size[0], size[0]]
    script = """return [...document.querySelectorAll('main > *')]
        .filter((it) => it.getBoundingClientRect().right > innerWidth + 0.5).map((it) => it.id)"""
    assert browser.run(script) == []
    assert browser.complaints() == []


def test_faults_come_first_and_in_words(browser, model):
    """What is broken is the headline; clients' words stay text."""
    open_live(browser, model("fault").address)
    assert browser.text("#verdict-question") == "What is wrong?"
    assert browser.text("#verdict-headline") == "A drive has failed"
    assert browser.attribute("#overview", "data-level") == "bad"
    evidence = browser.text("#verdict-evidence")
    for words in ("read-only", "suspect", "server errors", "RDMA device", "Lane 3", "wait for memory"):
        assert words in evidence, words
    assert browser.text("#ready-text") == "Not ready"
    assert browser.run("return document.title").startswith("Not ready")
    assert browser.text("[data-key='/dev/nvme2n1'] .badge") == "failed"
    assert "<img src=x onerror=alert(1)>" in browser.text("#error-list")
    assert browser.run("return document.querySelectorAll('img').length") == 0


def test_the_verdict_names_who_sets_the_pace(browser, model):
    """Storage, clients, or this server: from the shares of the stages."""
    open_live(browser, model().address)
    assert browser.text("#verdict-headline") == "Storage sets the pace"
    assert "drives" in browser.text("#verdict-sentence")
    script = """return (async (stage) => {
        const {verdict} = await import("/console/verdict.js");
        const state = await (await fetch("/api/v1/state")).json();
        const groups = state.stages.filter((one) => one.stage === stage).map((one) => one.group);
        state.stages = state.stages.filter((one) => groups.includes(one.group));
        for (const one of state.stages) one.share = one.stage === stage ? 0.9 : 0.01;
        return verdict(state);
    })(arguments[0])"""
    expected = {"send": "Clients and the network set the pace", "commit": "Storage sets the pace",
                "auth": "This server's processors set the pace", "queue": "Storage sets the pace",
                "receive": "Clients and the network set the pace"}
    for stage, headline in expected.items():
        assert browser.run(script, stage)["headline"] == headline, stage


def test_slow_requests_open_and_stay_open(browser, model):
    """A line opens into the request's stages, and the next second's figures do not close it."""
    served = model()
    open_live(browser, served.address)
    first = "#slow-list .request"
    browser.click(f"{first} summary")
    browser.until(lambda: "device" in browser.text(f"{first} .facts"), "its stages")
    detail = browser.text(f"{first} .facts")
    for words in ("8ZK4Q0W1N0000000", "AKIATRAINER0000001", "10.20.0.10", "4bf92f3577b34da6", "RDMA"):
        assert words in detail, words
    seen = served.asked
    browser.until(lambda: served.asked >= seen + 3, "more questions")
    assert browser.attribute(first, "open") is not None
    assert "device" in browser.attribute(f"{first} .stack", "aria-label")


def test_a_lost_server_is_said_and_found_again(browser, model):
    """Old figures stay, marked with their time; pausing stops the questions."""
    served = model()
    open_live(browser, served.address)
    served.kind = "broken"
    browser.until(lambda: browser.attribute("#main", "data-state") == "stale", "staleness")
    assert "These figures are of" in browser.text("#banner")
    assert browser.text("#live-text") == "not connected"
    assert browser.text("#tiles .tile-value") != ""
    served.kind = "load"
    browser.until(lambda: browser.attribute("#main", "data-state") == "live", "it to be back")
    assert browser.run("return document.getElementById('banner').hidden")
    browser.click("#pause")
    asked = served.asked
    assert browser.text("#live-text") == "paused"
    browser.run("return new Promise((done) => setTimeout(done, 2500))")
    assert served.asked <= asked + 1
    browser.click("#pause")
    browser.until(lambda: served.asked > asked + 1, "questions again")


def test_a_server_that_wants_a_token_is_given_one(browser, model):
    """The page asks, keeps it for the tab alone, and forgets it when it is told to."""
    served = model(token="0123456789abcdef0123456789abcdef")
    browser.open(served.address)
    browser.until(lambda: browser.run("return document.getElementById('token-dialog').open"), "the question")
    browser.fill("#token-value", "not the token, with spaces")
    browser.click("#token-form button[type=submit]")
    browser.until(lambda: "letters, digits" in browser.text("#token-outcome"), "what a token is")
    browser.fill("#token-value", served.token)
    browser.click("#token-form button[type=submit]")
    browser.until(lambda: browser.attribute("#main", "data-state") == "live", "figures")
    assert browser.run("return Object.values(localStorage).join()").find(served.token) < 0
    assert browser.text("#token") == "Token in use"
    served.token = "f" * 32
    browser.until(lambda: browser.run("return document.getElementById('token-dialog').open"), "the question")
    assert "does not know that token any more" in browser.text("#token-why")
    assert browser.run("return sessionStorage.getItem('penstock-token')") is None


def test_the_theme_is_the_readers(browser, model):
    """The system's choice, or the switch's, which is kept."""
    served = model("idle")
    ground = "return getComputedStyle(document.body).backgroundColor"
    browser.show(1440, 900, dark=True)
    open_live(browser, served.address)
    dark = browser.run(ground)
    browser.show(1440, 900)
    light = browser.run(ground)
    assert dark != light
    browser.click("#theme")
    browser.click("#theme")
    assert browser.text("#theme") == "Theme: dark" and browser.run(ground) == dark
    open_live(browser, served.address)
    assert browser.run(ground) == dark
    browser.click("#theme")
    assert browser.text("#theme") == "Theme: system" and browser.run(ground) == light


def test_charts_can_be_read_with_the_keyboard(browser, model):
    """Arrow keys go through time; the values that the caption shows are those of the place."""
    open_live(browser, model().address)
    browser.click("#pause")
    browser.run("document.querySelector('.chart').focus()")
    values = lambda: browser.text("#charts figure .legend")  # noqa: E731
    now = values()
    press = """document.activeElement.dispatchEvent(
        new KeyboardEvent('keydown', {key: arguments[0], bubbles: true, cancelable: true}))"""
    browser.run(press, "PageUp")
    assert browser.text("#charts figure .when").startswith("at ") and values() != now
    browser.run(press, "Escape")
    assert values() == now and browser.text("#charts figure .when") == ""
    label = browser.attribute(".chart", "aria-label")
    assert label.startswith("Throughput: out ") and "at most" in label


def test_reduced_motion_moves_nothing(browser, model):
    """Who wants no motion sees none."""
    beat = "return getComputedStyle(document.querySelector('.dot')).animationName"
    open_live(browser, model().address)
    assert browser.run(beat) == "beat"
    browser.show(1440, 900, still=True)
    assert browser.run(beat) == "none"


def test_settings_are_found(browser, model):
    """The filter looks at keys and values; secrets are not shown."""
    open_live(browser, model().address)
    browser.fill("#settings-filter", "rdma")
    assert browser.run("return [...document.querySelectorAll('#setting-rows tr')].map((it) => it.dataset.key)") == ["rdma.mode"]
    browser.fill("#settings-filter", "no such thing")
    assert "No setting" in browser.text("#setting-rows")
    browser.fill("#settings-filter", "")
    browser.click("#settings-changed")
    keys = browser.run("return [...document.querySelectorAll('#setting-rows tr')].map((it) => it.dataset.key)")
    assert "lanes" not in keys and "data" in keys
