#!/usr/bin/env python3
"""Looks at a page as a reader would, in headless Chromium over its debugging pipe.

Usage: browse_report.py CHROMIUM PAGE.html SCREENSHOTS_DIR

Prints a line for each thing that is wrong: a console message, a request, a picture without area, a
page that is wider than its window, what the keyboard does not reach. Exit codes: 0 nothing is wrong,
1 something is.
"""
import base64, json, os, signal, subprocess, sys, tempfile, time

LIMIT_S = 120

PICTURES = """(() => {
  for (const d of document.querySelectorAll('details')) d.open = false;
  return [...document.querySelectorAll('svg[role=img]')].map(s => {
    const box = s.getBoundingClientRect();
    const drawn = s.querySelectorAll('path, use, image, polygon, rect').length;
    return [s.closest('figure').id, box.width, box.height, drawn,
            document.getElementById(s.getAttribute('aria-labelledby').split(' ')[0]).textContent];
  });
})()"""
WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
REACHABLE = """[...document.querySelectorAll('a[href], summary, [tabindex="0"]')]
  .filter(e => e.checkVisibility() || e.className === 'skip').length"""
FOCUSED = """(() => {
  const all = [...document.querySelectorAll('*')];
  return document.activeElement === document.body ? -1 : all.indexOf(document.activeElement);
})()"""
COLOURS = """(() => {
  const of = (e, name) => getComputedStyle(e)[name];
  const text = document.querySelector('svg text'), line = document.querySelector('svg path[stroke]');
  return [of(document.body, 'backgroundColor'), of(document.body, 'color'),
          text ? of(text, 'fill') : '', line ? of(line, 'stroke') : ''];
})()"""


class Browser:
    def __init__(self, program, profile):
        to_browser, self.to = os.pipe()
        self.answers, from_browser = os.pipe()

        def place_pipes():  # the browser reads descriptor 3 and writes descriptor 4
            read, write = os.dup(to_browser), os.dup(from_browser)
            read, write = os.dup2(read, 20), os.dup2(write, 21)
            os.dup2(read, 3), os.dup2(write, 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             "--hide-scrollbars", "--user-data-dir=" + profile, "about:blank"],
            pass_fds=(3, 4), preexec_fn=place_pipes,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser), os.close(from_browser)
        self.number, self.left, self.events, self.session = 0, b"", [], None

    def read(self):
        while b"\0" not in self.left:
            more = os.read(self.answers, 1 << 20)
            if not more:
                raise RuntimeError("the browser has ended")
            self.left += more
        message, self.left = self.left.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.to, json.dumps(request).encode() + b"\0")
        while True:
            message = self.read()
            if message.get("id") != self.number:
                self.events.append(message)
            elif "error" in message:
                raise RuntimeError(f"{method}: {message['error']}")
            else:
                return message["result"]

    def wait_for(self, method):
        while not any(e.get("method") == method for e in self.events):
            self.events.append(self.read())

    def value(self, expression):
        return self.call("Runtime.evaluate", expression=expression,
                         returnByValue=True)["result"].get("value")

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)

    def scheme(self, name, media="screen"):
        self.call("Emulation.setEmulatedMedia", media=media,
                  features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, path, height):
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                            clip={"x": 0, "y": 0, "width": self.value("innerWidth"),
                                  "height": min(height, self.value(
                                      "document.documentElement.scrollHeight")), "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))

    def press_tab(self):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab",
                      windowsVirtualKeyCode=9)


def messages_and_requests(events, page):
    for event in events:
        method, p = event.get("method", ""), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            yield f"console: {[a.get('value') for a in p['args']]}"
        elif method == "Runtime.exceptionThrown":
            yield f"exception: {p['exceptionDetails'].get('text')}"
        elif method == "Log.entryAdded":
            yield f"console: {p['entry']['text']}"
        elif method == "Network.requestWillBeSent":
            url = p["request"]["url"]
            if url != page and not url.startswith("data:"):
                yield f"request: {url}"


def look(browser, page, folder):
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    browser.session = browser.call("Target.attachToTarget", targetId=target,
                                   flatten=True)["sessionId"]
    for domain in ("Page", "Network", "Runtime", "Log"):
        browser.call(domain + ".enable")
    browser.size(1200, 900)
    browser.scheme("light")
    began = time.monotonic()
    browser.call("Page.navigate", url=page)
    browser.wait_for("Page.loadEventFired")
    print(f"opened in {time.monotonic() - began:.2f} s")
    wrong, colours = [], {}
    for width in (1200, 400):
        browser.size(width, 900)
        for scheme in ("light", "dark"):
            browser.scheme(scheme)
            browser.screenshot(f"{folder}/{scheme}-{width}.png", 20000)
            colours[scheme] = browser.value(COLOURS)
        pictures = browser.value(PICTURES)
        print(f"{len(pictures)} pictures at {width} px")
        for name, w, h, drawn, title in pictures:
            if w < 200 or h < 100 or drawn < 3 or not title:
                wrong.append(f"picture {name}: {w} x {h} px, {drawn} shapes, title '{title}'")
        page_width, window = browser.value(WIDTHS)
        if page_width > window:
            wrong.append(f"the page is {page_width} px wide in {window} px")
    for light, dark, what in zip(colours["light"], colours["dark"], ("ground", "text", "letters of pictures", "lines of pictures")):
        if light and light == dark:
            wrong.append(f"{what}: {light} in light and dark")
    browser.scheme("dark", "print")
    if browser.value(COLOURS)[0] != colours["light"][0]:
        wrong.append("paper is not light")
    browser.scheme("light")
    wanted, reached = browser.value(REACHABLE), set()
    for _ in range(wanted + 2):
        browser.press_tab()
        reached.add(browser.value(FOCUSED))
    reached.discard(-1)
    if len(reached) < wanted:
        wrong.append(f"the keyboard reaches {len(reached)} of {wanted}")
    print(f"the keyboard reaches {len(reached)}")
    return wrong + list(messages_and_requests(browser.events, page))


def main():
    program, page, folder = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3]
    os.makedirs(folder, exist_ok=True)
    signal.alarm(LIMIT_S)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            wrong = look(browser, "file://" + page, folder)
        finally:
            browser.process.kill()
            browser.process.wait()
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
