"""A browser for the tests of the web pages, one for each test session (and xdist worker)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.browser import chromium, collect_errors
from tests.support.live_viewer import live_viewer

NewPage = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, which all tests share; each gets pages of its own from ``page`` or ``new_page``."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def base_url(settings: Settings, store: Store) -> Iterator[str]:
    """Where paths that a page opens lead to: a viewer of ``store``."""
    with live_viewer(settings, store) as url:
        yield url


@pytest.fixture
def page_errors() -> Iterator[list[str]]:
    """Uncaught exceptions, console errors and failed responses of all pages of a test.

    Any that is left at the end fails the test. A test that expects errors removes them.
    """
    errors: list[str] = []
    yield errors
    assert errors == []


@pytest.fixture
def new_page(browser: Browser, base_url: str, page_errors: list[str]) -> Iterator[NewPage]:
    """Open pages, each in a fresh browser context: ``new_page(viewport=..., is_mobile=...)``.

    The options are those of ``Browser.new_context``. The pages close before the server of
    ``base_url`` stops: otherwise a page that polls it would report errors.
    """
    with ExitStack() as contexts:

        def open_page(**options: Any) -> Page:
            context = contexts.enter_context(browser.new_context(base_url=base_url, **options))
            page = context.new_page()
            collect_errors(page, page_errors)
            return page

        yield open_page


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page of 1280 x 800 pixels."""
    return new_page(viewport={"width": 1280, "height": 800})
