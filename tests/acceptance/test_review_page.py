"""The review page in a real browser: what a mouse and keys do to the faces stands in labels.jsonl afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from skimage import data

from facepaint.labels import LabelledFace, LabelledPicture, read_labels, write_labels
from tests.devtools import Page, chromium
from tests.helpers import eventually
from tests.live_viewer import live_app
from viewer.label_file import LabelFile
from viewer.review import make_review_app

pytestmark = pytest.mark.browser

POINTS = (206.0, 114.0, 246.0, 112.0, 228.0, 140.0, 210.0, 158.0, 244.0, 157.0)

FACES = (
    LabelledFace((178.0, 62.0, 270.0, 188.0), POINTS, score=0.93),
    LabelledFace((330.0, 20.0, 390.0, 90.0), score=0.31, attributes={"source": "old"}),
)

MODIFIERS = {"Alt": 1, "Ctrl": 2, "Shift": 8}


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """One Chromium for all tests here."""
    with chromium() as page:
        yield page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of the public-domain portrait: with two faces labelled, with one of them, with none."""
    (tmp_path / "images").mkdir()
    portrait = Image.fromarray(data.astronaut())
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        portrait.save(tmp_path / "images" / name)
    write_labels(
        tmp_path,
        [
            LabelledPicture("a.jpg", 512, 512, FACES),
            LabelledPicture("b.jpg", 512, 512, FACES[:1]),
            LabelledPicture("c.jpg", 512, 512),
        ],
    )
    return tmp_path


@pytest.fixture
def page(browser: Page, folder: Path) -> Iterator[Page]:
    """The page of the folder, its first picture shown."""
    with live_app(make_review_app(LabelFile(folder))) as url:
        browser.resize(1280, 800)
        browser.call("Page.navigate", url="about:blank")
        browser.complaints.clear()
        browser.open(url)
        wait_for_picture(browser, "a.jpg")
        yield browser
        browser.call("Page.navigate", url="about:blank")


def wait_for_picture(page: Page, name: str) -> None:
    shown = "document.querySelector('#picture').currentSrc + ' ' + document.querySelector('#name').textContent"
    eventually(lambda: f"image={name}&" in page.run(shown) and page.run(shown).endswith(f" {name}"), 20)


def labelled(folder: Path, image: str = "a.jpg") -> LabelledPicture:
    return next(picture for picture in read_labels(folder) if picture.image == image)


def saved(page: Page) -> bool:
    return bool(page.run("document.querySelector('#save').dataset.state") == "saved")


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the picture is on the page."""
    matrix = "(m => [m.a, m.e, m.d, m.f])(document.querySelector('#marks .scaled').getScreenCTM())"
    scale_x, left, scale_y, top = page.run(matrix)
    return x * scale_x + left, y * scale_y + top


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag by the mouse, from and to points of the picture; a click if they are the same."""
    (x1, y1), (x2, y2) = place(page, *start), place(page, *end)
    steps: list[tuple[str, float, float]] = [("mousePressed", x1, y1)]
    if start != end:
        steps += [("mouseMoved", (x1 + x2) / 2, (y1 + y2) / 2), ("mouseMoved", x2, y2)]
    for kind, x, y in [*steps, ("mouseReleased", x2, y2)]:
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)


def press(page: Page, *keys: str) -> None:
    """Press keys one after another; ``Ctrl+z`` and the like with what is held."""
    for pressed in keys:
        *held, key = pressed.split("+")
        text = {"text": key} if len(key) == 1 and not held else {}
        modifiers = sum(MODIFIERS[name] for name in held)
        page.call("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=modifiers, **text)
        page.call("Input.dispatchKeyEvent", type="keyUp", key=key, modifiers=modifiers)


def near(*expected: float) -> Any:
    """Mouse positions are whole px of the page."""
    return pytest.approx(expected, abs=1)


def test_the_mouse_draws_moves_and_deletes_and_every_step_is_undone(page: Page, folder: Path) -> None:
    drag(page, (224, 170), (234, 175))
    eventually(lambda: labelled(folder).faces[0].box == near(188, 67, 280, 193))
    moved = labelled(folder).faces[0].landmarks
    assert moved == near(*(value + (5 if at % 2 else 10) for at, value in enumerate(POINTS)))

    drag(page, (216, 119), (226, 129))
    eventually(lambda: (labelled(folder).faces[0].landmarks or ())[:4] == near(226, 129, 256, 117))
    assert labelled(folder).faces[0].box == near(188, 67, 280, 193)

    drag(page, (280, 193), (300, 200))
    eventually(lambda: labelled(folder).faces[0].box == near(188, 67, 300, 200))

    drag(page, (360, 50), (360, 50))
    press(page, "Delete")
    eventually(lambda: len(labelled(folder).faces) == 1)
    drag(page, (40, 300), (100, 380))
    eventually(lambda: labelled(folder).faces[1:] and labelled(folder).faces[1].box == near(40, 300, 100, 380))

    press(page, "Ctrl+z", "Ctrl+z")
    eventually(lambda: labelled(folder).faces[1:] == FACES[1:])
    press(page, "Ctrl+z", "Ctrl+z", "Ctrl+z")
    eventually(lambda: labelled(folder).faces == FACES)
    press(page, "Ctrl+y")
    eventually(lambda: labelled(folder).faces[0].box == near(188, 67, 280, 193))

    original = [json.loads(line)["faces"] for line in (folder / "labels.jsonl.orig").read_text().splitlines()]
    assert [len(faces) for faces in original] == [2, 1, 0]
    eventually(lambda: saved(page))
    assert page.complaints == []


@pytest.mark.slow
def test_the_keys_alone_do_everything(page: Page, folder: Path) -> None:
    press(page, "Tab", "Tab", "ArrowRight", "Shift+ArrowDown", "Alt+ArrowLeft", "i", "l", "2", "ArrowUp")
    # Each step is saved at once: what was pressed last is on the disk last.
    eventually(lambda: (labelled(folder).faces[1].landmarks or ())[2:4] == (331 + 0.69 * 59, 30 + 0.4 * 70 - 1))
    face = labelled(folder).faces[1]
    assert face.ignore
    assert face.box == (331, 30, 390, 100)
    assert face.attributes == {"source": "old"}

    press(page, "Enter")
    wait_for_picture(page, "b.jpg")
    press(page, "n", "n", "Delete", "d")
    wait_for_picture(page, "c.jpg")
    press(page, "n", "n", "r")

    eventually(lambda: labelled(folder, "c.jpg").attributes == {"reviewed": True})
    eventually(lambda: saved(page))
    assert labelled(folder).attributes == {"reviewed": True}
    assert labelled(folder, "b.jpg") == LabelledPicture("b.jpg", 512, 512, FACES[:1])
    x1, y1, x2, y2 = labelled(folder, "c.jpg").faces[0].box
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == near(256, 256)
    assert page.run("document.querySelector('#progress-words').textContent") == "2 of 3 reviewed"
    assert page.complaints == []


@pytest.mark.slow
def test_a_conflict_is_told_and_neither_side_is_lost(page: Page, folder: Path) -> None:
    url = page.run("location.origin")
    theirs = httpx.get(f"{url}/api/picture", params={"image": "a.jpg"})
    body = {"faces": theirs.json()["faces"][:1], "reviewed": False}
    headers = {"If-Match": theirs.headers["etag"]}
    assert httpx.put(f"{url}/api/picture", params={"image": "a.jpg"}, json=body, headers=headers).status_code == 200

    press(page, "Tab", "i")

    eventually(lambda: "was changed in another tab" in page.run("document.querySelector('#notice').innerText"))
    assert page.run("document.querySelectorAll('#faces li').length") == 1
    assert labelled(folder).faces == FACES[:1]

    page.run("document.querySelector('#use-mine').click()")
    eventually(lambda: [face.ignore for face in labelled(folder).faces] == [True, False])
    eventually(lambda: saved(page))


@pytest.mark.slow
def test_what_could_not_be_saved_is_said_in_red_kept_and_saved_later(page: Page, folder: Path) -> None:
    page.call("Network.enable")
    limits = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.call("Network.emulateNetworkConditions", offline=True, **limits)
    press(page, "Tab", "i")
    eventually(lambda: "Your edits are kept" in page.run("document.querySelector('#unsaved').innerText"))
    assert page.run("getComputedStyle(document.querySelector('#unsaved')).backgroundColor") == "rgb(179, 38, 30)"
    assert page.run("(e => (dispatchEvent(e), e.defaultPrevented))(new Event('beforeunload', {cancelable: true}))")
    assert labelled(folder).faces == FACES

    page.call("Network.emulateNetworkConditions", offline=False, **limits)

    eventually(lambda: labelled(folder).faces[0].ignore, 20)
    eventually(lambda: saved(page))
    assert page.run("document.querySelector('#unsaved').hidden")
