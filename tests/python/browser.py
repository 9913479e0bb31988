"""A headless Chromium that looks at the console, and what it noticed."""

import json
import shutil
import tempfile
import time

from selenium import webdriver

FLAGS = [
    # A page of our own on this machine, often looked at as root in a container.
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
    # Chromium asks its maker's hosts on its own; a test must not wait for that.
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--hide-scrollbars",
]
WITHIN_SECONDS = 15


def missing() -> str:
    """What is not installed, or nothing."""
    programs = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    return f"{' and '.join(programs)} not installed" if programs else ""


class Browser:
    """One tab."""

    def __init__(self) -> None:
        self.profile = tempfile.mkdtemp(prefix="penstock-chromium-")
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in [*FLAGS, f"--user-data-dir={self.profile}"]:
            options.add_argument(flag)
        options.accept_insecure_certs = True
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.show(1440, 900)

    def close(self) -> None:
        """Ends it."""
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def show(self, width: int, height: int, dark: bool = False, still: bool = False) -> None:
        """Sets the window's size and what the reader's system prefers."""
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height,
                     deviceScaleFactor=1, mobile=width < 500)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}
        self.command("Emulation.setEmulatedMedia", features=[scheme, motion])

    def command(self, name: str, **arguments) -> dict:
        """One order of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def open(self, address: str) -> None:
        """Loads a page anew, with nothing left of what was there before."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(address)

    def run(self, script: str, *arguments):
        """The value of a script's `return`."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """What is written there."""
        return self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector)

    def attribute(self, selector: str, name: str) -> str:
        """An attribute of the first such element."""
        script = "return document.querySelector(arguments[0]).getAttribute(arguments[1])"
        return self.run(script, selector, name)

    def click(self, selector: str) -> None:
        """Clicks it."""
        self.run("document.querySelector(arguments[0]).click()", selector)

    def fill(self, selector: str, text: str) -> None:
        """Types into it."""
        script = "const it = document.querySelector(arguments[0]); it.value = arguments[1];"
        script += "it.dispatchEvent(new Event('input', {bubbles: true}))"
        self.run(script, selector, text)

    def until(self, condition, what: str, within: float = WITHIN_SECONDS):
        """Waits for something to become true; its value."""
        deadline = time.monotonic() + within
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {within} s: {what}"
            time.sleep(0.1)
        return value

    def complaints(self) -> list[str]:
        """What the page's console says, refused content among it."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked since the page was opened."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [event["request"]["url"] for event in sent]

    def picture(self, path) -> None:
        """What is to be seen now."""
        assert self.driver.save_screenshot(str(path))
