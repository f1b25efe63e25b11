"""Headless Chromium of the system, driven by Playwright, for tests of the web pages."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from tests.support.programs import find_program, skip_or_fail

FLAGS = (
    "--no-sandbox",  # tests may run as root, for whom Chromium's sandbox does not start
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
)

expect.set_options(timeout=20_000)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium. The test is skipped where it or Playwright's driver is missing; on CI it fails.

    While it runs, Playwright's event loop counts as running in this thread: ``asyncio.run`` fails.
    """
    executable = find_program("chromium")
    playwright = start_playwright()
    try:
        with playwright.chromium.launch(executable_path=executable, args=FLAGS) as browser:
            yield browser
    finally:
        playwright.stop()


def start_playwright() -> Playwright:
    """Start Playwright's driver, a Node.js process. Skip the test where it does not start."""
    try:
        return sync_playwright().start()
    except (Error, OSError) as error:  # OSError from older versions
        missing = f"Playwright's driver does not start: {error}"
    # asyncio logs the error once more when it frees the failed task. Python 3.11 may raise
    # SystemError if that happens while it parses a module, so free the task here.
    gc.collect()
    return skip_or_fail(missing)


def collect_errors(page: Page, errors: list[str]) -> None:
    """Append to ``errors`` each uncaught exception, console error and failed response of a page."""

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"{message.text} {message.location['url']}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("crash", lambda _: errors.append("the page crashed"))


def expect_visible_text(page: Page, selector: str, text: str) -> None:
    """Wait until the element is visible and its rendered text contains ``text``."""
    expect(page.locator(f"{selector}:visible")).to_contain_text(text, use_inner_text=True)
