"""Selecting faces in a real browser: in the video, among the portraits and by keyboard; and the new
look."""

import io
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import av
import numpy as np
import pytest
import skimage.data
from PIL import Image
from playwright.sync_api import Page, expect

from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.results import Painted
from facepaint.settings import Settings
from facepaint.stack.processes import Child
from facepaint.store import Store
from tests.acceptance.conftest import NewPage
from tests.support.browser import expect_visible_text
from tests.support.helpers import eventually
from tests.support.made_job import MadeJob, heartbeat, plain_job
from tests.support.portraits import BOX
from uploader.upload import upload

pytestmark = pytest.mark.browser

LEFT, RIGHT = (40.0, 30.0, 100.0, 110.0), (200.0, 45.0, 264.0, 135.0)


def selected(page: Page) -> list[list[int]]:
    """The people that are selected in the overlay, and those among the portraits."""
    found: list[list[int]] = page.evaluate(
        """[
          [...document.querySelectorAll('.face:not([hidden])[aria-pressed=true]')]
            .map(n => Number(n.innerText)),
          [...document.querySelectorAll('.portrait[aria-pressed=true]')]
            .map(n => Number(n.dataset.person)),
        ]"""
    )
    return found


def place(page: Page, number: int) -> list[float]:
    """A face's outline: left, top, right, bottom in px of the window; empty while it is not
    shown."""
    found: list[float] = page.evaluate(
        """(number) => {
          const all = [...document.querySelectorAll('.face:not([hidden])')];
          const box = all.find(n => n.innerText === String(number))?.getBoundingClientRect();
          return box ? [box.left, box.top, box.right, box.bottom] : [];
        }""",
        number,
    )
    return found


def on_screen(
    page: Page, box: tuple[float, ...], size: tuple[int, int] = (320, 180)
) -> list[float]:
    """A box of the frame in px of the window: the frame is centred in its stage, as large as
    fits."""
    left, top, width, height = page.evaluate(
        "(b => [b.left, b.top, b.width, "
        "b.height])(document.querySelector('#stage').getBoundingClientRect())"
    )
    scale = min(width / size[0], height / size[1])
    x, y = left + (width - scale * size[0]) / 2, top + (height - scale * size[1]) / 2
    return [x + scale * box[0], y + scale * box[1], x + scale * box[2], y + scale * box[3]]


def current_time(page: Page) -> float:
    """The position of the video, in seconds."""
    time_s: float = page.locator("video").evaluate("video => video.currentTime")
    return time_s


def seek(page: Page, time_s: float) -> None:
    """Set the position of the video."""
    page.locator("video").evaluate("(video, time_s) => { video.currentTime = time_s; }", time_s)


def wait_for_look(page: Page) -> str:
    """Wait until the page of a look has loaded, and return the id of the look."""
    page.wait_for_url(re.compile(r"[?&]look="))
    return parse_qs(urlsplit(page.url).query)["look"][0]


def open_paused(page: Page, made: MadeJob, time_s: float = 1.0) -> None:
    """Open the page of a job and stop at a time."""
    page.goto(f"/jobs/{made.id}")
    eventually(lambda: current_time(page) > 0.1, 20)
    page.locator("video").evaluate("video => video.pause()")
    seek(page, time_s)
    expect(page.locator("#select-faces")).to_be_visible()


def test_a_face_that_is_clicked_in_the_video_gets_a_look_of_its_own(
    page: Page, store: Store, queue: Queue
) -> None:
    made = plain_job(store, 4.0, filters=("mosaic:hold=0.5",)).complete()
    made.track([LEFT, RIGHT])
    open_paused(page, made)
    expect(page.locator("#look-form")).to_be_hidden()

    page.keyboard.press("c")
    eventually(lambda: place(page, 2) == pytest.approx(on_screen(page, RIGHT), abs=1.5))
    left, top, right, bottom = on_screen(page, RIGHT)
    page.mouse.click((left + right) / 2, (top + bottom) / 2)

    assert eventually(lambda: selected(page) == [[2], [2]])
    expect_visible_text(page, "#look-form", "1 face selected")
    page.get_by_label("Redact these").check()
    expect_visible_text(page, "#look-form", "They are redacted")
    page.locator("#look-filter").select_option("mosaic")
    page.locator("#create-look").click()

    look_id = wait_for_look(page)
    look = store.get_record(keys.look(made.id, look_id), Look)
    assert (look.filters[0].name, look.filters[0].applies_to.only) == ("mosaic", (2,))
    assert look.hold_s == 0.5, "options of the shown look are kept"
    assert queue.length() == made.segments
    expect_visible_text(page, "#waiting", "No worker is running")
    eventually(lambda: selected(page)[1] == [2], 20)
    expect(page.locator("#look-form")).to_be_hidden()
    made.paint(range(made.segments), look_id)
    eventually(lambda: current_time(page) > 0.5, 20)
    options = page.evaluate("[...document.querySelectorAll('#look option')].map(n => n.innerText)")
    assert sorted(options) == ["mosaic", "mosaic only 2"]


def test_an_outline_follows_the_face_of_the_shown_frame(page: Page, store: Store) -> None:
    made = plain_job(store, 4.0).complete()
    made.track([LEFT], drift=2)
    page.set_viewport_size({"width": 500, "height": 900})
    open_paused(page, made, 1.0)
    page.keyboard.press("c")

    for number in (25, 60, 99, 0):
        seek(page, number / 25 + 0.02)
        now = on_screen(page, (LEFT[0] + 2 * number, LEFT[1], LEFT[2] + 2 * number, LEFT[3]))
        eventually(lambda now=now: place(page, 1) == pytest.approx(now, abs=1.5))
    page.set_viewport_size({"width": 1280, "height": 500})
    eventually(lambda: place(page, 1) == pytest.approx(on_screen(page, LEFT), abs=1.5))


def test_faces_can_be_selected_by_keyboard_alone(page: Page, store: Store) -> None:
    made = plain_job(store, 4.0).complete()
    made.track([LEFT, RIGHT])
    open_paused(page, made)

    page.locator(".portrait").first.focus()
    page.keyboard.press("Enter")
    eventually(lambda: selected(page) == [[], [1]])
    page.keyboard.press("c")
    eventually(lambda: selected(page) == [[1], [1]])
    page.locator(".face").nth(1).focus()
    page.keyboard.press("Enter")
    eventually(lambda: selected(page) == [[1, 2], [1, 2]])
    page.keyboard.press("Enter")
    eventually(lambda: selected(page) == [[1], [1]])
    assert page.evaluate("document.querySelector('video').paused")
    names = (
        "[...document.querySelectorAll('.face, .portrait, .modes input')].every(n => "
        "n.ariaLabel || n.labels?.length)"
    )
    assert page.evaluate(names)


@pytest.mark.slow
def test_people_are_tracked_on_request(page: Page, store: Store, queue: Queue) -> None:
    made = plain_job(store, 4.0).complete()
    heartbeat(store)
    page.goto(f"/jobs/{made.id}")
    expect(page.locator("#find-people")).to_be_visible()

    page.locator("#find-people").click()

    expect_visible_text(page, "#people-status", "Finding people")
    expect(page.locator("#find-people")).to_be_hidden()
    assert queue.length() == 1
    made.track([LEFT, RIGHT])
    loaded = "[...document.querySelectorAll('.portrait img')].filter(n => n.naturalWidth).length"
    eventually(lambda: page.evaluate(loaded) == 2, 20)
    expect(page.locator("#people-count:visible")).to_have_text("2 people")


@pytest.mark.parametrize("width", [360, pytest.param(768, marks=pytest.mark.slow)])
def test_the_panel_fits_any_width(new_page: NewPage, store: Store, width: int) -> None:
    made = plain_job(store, 4.0).complete()
    made.track([LEFT, RIGHT] * 6)
    page = new_page(viewport={"width": width, "height": 800}, is_mobile=width < 500)
    open_paused(page, made)
    page.locator(".portrait").first.click()
    page.locator("#select-faces").click()
    eventually(lambda: place(page, 2))

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    bar: dict[str, Any] = page.evaluate(
        "document.querySelector('#look-form').getBoundingClientRect().toJSON()"
    )
    assert bar["bottom"] <= 800


SIDE = 320
"""Side of each of the two portraits in px."""


def write_twins(path: Path) -> None:
    """Write two seconds of the public-domain portrait next to its mirror image, slowly sinking."""
    portrait = np.asarray(Image.fromarray(skimage.data.astronaut()).resize((SIDE, SIDE)))
    both = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(
            "libx264", rate=20, options={"preset": "ultrafast", "g": "20"}
        )
        stream.width, stream.height, stream.pix_fmt = 2 * SIDE, SIDE, "yuv420p"
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.roll(both, number // 8, axis=0), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 20)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


def sharpness(store: Store, job_id: str, look: str) -> list[float]:
    """Mean difference of neighbouring pixels of the left and of the right face in the first painted
    frame."""
    record = store.get_record(keys.painted(job_id, look, 0), Painted)
    with av.open(io.BytesIO(store.get(keys.painted_data(job_id, look, record.name)))) as container:
        luma = next(container.decode(video=0)).to_ndarray(format="gray").astype(float)
    left, top, right, bottom = (round(side * SIDE / 512) for side in BOX)
    faces = luma[top:bottom, left:right], luma[top:bottom, 2 * SIDE - right : 2 * SIDE - left]
    return [float(np.abs(np.diff(face, axis=1)).mean()) for face in faces]


@pytest.mark.slow
def test_a_face_that_is_clicked_in_a_redacted_video_is_shown(
    page: Page,
    settings: Settings,
    store: Store,
    queue: Queue,
    start_worker: Callable[..., Child],
    tmp_path: Path,
) -> None:
    """Real faces and workers: tracked on request, selected in the redacted video, painted with the
    new look."""
    start_worker(settings)
    write_twins(tmp_path / "twins.mp4")
    job_id = upload(tmp_path / "twins.mp4", parse_look(["blur"]), store, queue, settings).job_id

    page.goto(f"/jobs/{job_id}")
    expect(page.locator("#find-people")).to_be_visible(timeout=60_000)
    page.locator("#find-people").click()
    expect(page.locator("#people-count:visible")).to_have_text("2 people", timeout=60_000)
    page.keyboard.press("c")
    left, top, right, bottom = eventually(lambda: place(page, 1), 20)
    page.mouse.click((left + right) / 2, (top + bottom) / 2)
    assert eventually(lambda: selected(page) == [[1], [1]])
    page.locator("#create-look").click()

    look = wait_for_look(page)
    eventually(lambda: current_time(page) > 0.5, 60)
    redacted = sharpness(store, job_id, parse_look(["blur"]).id)
    kept = sharpness(store, job_id, look)
    assert max(redacted) < 2
    assert kept[0] > 3 * redacted[0]
    assert kept[1] == pytest.approx(redacted[1], rel=0.2)
