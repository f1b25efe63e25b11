"""The page in a real browser: it plays painted segments while others are painted, and shows what it
waits for."""

from fractions import Fraction
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from facepaint.records import keys
from facepaint.records.job import OutputProfile
from facepaint.records.results import Painted
from facepaint.store import Store
from tests.acceptance.conftest import NewPage
from tests.support.browser import expect_visible_text
from tests.support.helpers import eventually
from tests.support.made_job import (
    RATE,
    heartbeat,
    make_audio,
    paint_image,
    plain_job,
    stored_image_job,
    uneven_job,
)

pytestmark = pytest.mark.browser


KEEP_BUFFERS = """
  window.sourceBuffers = [];
  const add = MediaSource.prototype.addSourceBuffer;
  MediaSource.prototype.addSourceBuffer = function (mime) {
    const buffer = add.call(this, mime);
    window.sourceBuffers.push(buffer);
    return buffer;
  };
"""


def video(page: Page) -> dict[str, Any]:
    """The state of the video element; ``buffers`` has the start of what is buffered of video and
    audio."""
    found: dict[str, Any] = page.evaluate(
        """() => {
          const v = document.querySelector('video');
          const ranges = [];
          for (let n = 0; n < v.buffered.length; n += 1)
            ranges.push([v.buffered.start(n), v.buffered.end(n)]);
          const { currentTime, videoWidth, videoHeight, paused, ended, duration } = v;
          const frames = v.getVideoPlaybackQuality().totalVideoFrames;
          const audioBytes = v.webkitAudioDecodedByteCount;
          const error = v.error && v.error.message;
          const start = b => b.buffered.length ? b.buffered.start(0) : null;
          const buffers = (window.sourceBuffers ?? []).map(start);
          const shown = { videoWidth, videoHeight, frames, audioBytes, error };
          return { currentTime, paused, ended, duration, ranges, buffers, ...shown };
        }"""
    )
    assert found["error"] is None
    return found


def set_video(page: Page, name: str, value: float) -> None:
    """Set a property of the video element."""
    page.locator("video").evaluate(f"(video, value) => {{ video.{name} = value; }}", value)


@pytest.mark.slow
def test_playback_starts_with_the_first_segment_and_continues_with_later_ones(
    page: Page, store: Store
) -> None:
    made = plain_job(store, audio=[make_audio()]).begin()
    made.upload(range(3))
    made.detect(range(3))
    made.paint([0])

    page.goto(f"/jobs/{made.id}?look={made.look.id}")

    assert eventually(lambda: video(page)["currentTime"] > 0.5, 20)
    early = video(page)
    assert (early["videoWidth"], early["videoHeight"]) == (320, 180)
    assert early["frames"] > 5
    assert early["audioBytes"] > 0
    assert early["ranges"][0][1] == pytest.approx(2.0, abs=0.03)
    expect(page.locator("#state:visible")).to_have_text("Uploading")

    expect_visible_text(page, "#waiting", "No worker is running")
    assert video(page)["currentTime"] < 2.1

    made.upload([3])
    made.seal()
    made.detect([3])
    made.paint([1, 2, 3])

    eventually(lambda: video(page)["ended"], 40)
    late = video(page)
    assert late["duration"] == pytest.approx(8.0, abs=0.05)
    assert len(late["ranges"]) == 1
    assert late["ranges"][0] == [pytest.approx(0, abs=0.03), pytest.approx(8.0, abs=0.05)]
    assert late["frames"] >= 190
    expect(page.locator("#waiting")).to_be_hidden()
    expect(page.locator("#state:visible")).to_have_text("Complete")


@pytest.mark.parametrize(
    "codec",
    [
        "aac",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("libmp3lame", "libopus", "flac", "pcm_s16le")
        ),
    ],
)
def test_audio_of_every_codec_is_decoded_and_starts_with_the_video(
    page: Page, store: Store, codec: str
) -> None:
    made = plain_job(store, 4.0, audio=[make_audio(codec, 4.0)]).complete()

    page.goto(f"/jobs/{made.id}")

    eventually(lambda: video(page)["currentTime"] > 2.5, 30)
    state = video(page)
    assert state["audioBytes"] > 0
    assert state["ranges"][0][0] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(
    "start_s",
    [
        Fraction(3, 50),
        *(
            pytest.param(late, marks=pytest.mark.slow)
            for late in (Fraction(0), Fraction(-844, 1000))
        ),
    ],
)
def test_audio_and_video_are_in_sync_as_in_the_source(
    page: Page, store: Store, start_s: Fraction
) -> None:
    made = plain_job(store, 4.0, audio=[make_audio("aac", 4.0, start_s)]).complete()
    origin_s = made.times[0] * made.time_base + min(Fraction(0), start_s)
    times = [
        packet.pts * Fraction(1, RATE) - origin_s
        for packet, _ in made.audio[0].packets
        if packet.pts
    ]
    first_s = float(min(time for time in times if time >= 0))

    page.add_init_script(KEEP_BUFFERS)
    page.goto(f"/jobs/{made.id}")

    eventually(lambda: video(page)["currentTime"] > 0.3, 20)
    assert video(page)["buffers"] == [pytest.approx(0, abs=1e-4), pytest.approx(first_s, abs=1e-4)]


@pytest.mark.parametrize(
    ("start_s", "seconds", "ends_s"),
    [
        (Fraction(5, 2), 1.0, 4.0),
        pytest.param(Fraction(0), 6.0, 6.0, marks=pytest.mark.slow),
        pytest.param(Fraction(-3), 6.0, 7.0, marks=pytest.mark.slow),
    ],
    ids=["starts late", "ends after the last frame", "starts long before the first frame"],
)
def test_the_page_shows_every_frame_and_ends_when_both_frames_and_audio_have_ended(
    page: Page, store: Store, start_s: Fraction, seconds: float, ends_s: float
) -> None:
    made = plain_job(store, 4.0, audio=[make_audio("aac", seconds, start_s)]).complete()

    page.goto(f"/jobs/{made.id}")
    eventually(lambda: video(page)["currentTime"] > 0.1, 20)
    set_video(page, "playbackRate", 3)

    eventually(lambda: video(page)["ended"], 30)
    assert video(page)["duration"] == pytest.approx(ends_s, abs=0.05)
    assert video(page)["frames"] == 100
    assert len(video(page)["ranges"]) == 1


@pytest.mark.slow
def test_uneven_frame_times_play_to_the_end(page: Page, store: Store) -> None:
    made = uneven_job(store).complete()

    page.goto(f"/jobs/{made.id}")
    eventually(lambda: video(page)["currentTime"] > 0.3, 20)
    set_video(page, "playbackRate", 8)

    eventually(lambda: video(page)["ended"], 30)
    assert video(page)["duration"] == pytest.approx(
        float((made.cuts[-1] - made.times[0]) * made.time_base), abs=0.05
    )


def test_a_seek_to_an_unpainted_segment_waits_with_a_reason_and_continues_by_itself(
    page: Page, store: Store
) -> None:
    made = plain_job(store, audio=[make_audio()]).begin()
    made.upload(range(4))
    made.seal()
    made.detect(range(4))
    made.paint([0])
    heartbeat(store)
    page.goto(f"/jobs/{made.id}")
    eventually(lambda: video(page)["currentTime"] > 0.2, 20)

    set_video(page, "currentTime", 6.5)

    expect_visible_text(page, "#waiting", "Segment 3 is ready and waiting for a worker")
    expect_visible_text(page, "#waiting", "1 of 4 segments painted")
    made.paint([3])
    eventually(lambda: video(page)["currentTime"] > 7, 20)
    set_video(page, "currentTime", 0.5)
    eventually(lambda: 0.6 < video(page)["currentTime"] < 2, 20)


@pytest.mark.slow
def test_a_failed_segment_is_marked_and_skipped(page: Page, store: Store) -> None:
    made = plain_job(store, audio=[make_audio()]).begin()
    made.upload(range(4))
    made.seal()
    made.detect(range(4))
    made.paint([0, 2, 3])
    made.fail_painting(1)

    page.goto(f"/jobs/{made.id}")

    eventually(lambda: video(page)["currentTime"] > 4.2, 30)
    assert runs(page) == [["painted", 0, 25], ["failed", 25, 25], ["painted", 50, 50]]
    expect_visible_text(page, "#legend", "Failed 1")
    expect_visible_text(page, "#status", "failed")


def runs(page: Page) -> list[list[Any]]:
    """The seek bar: stage, left edge and width in percent."""
    found: list[list[Any]] = page.evaluate(
        "[...document.querySelectorAll('#runs i')]"
        ".map(n => [n.className, Math.round(parseFloat(n.style.left)), "
        "Math.round(parseFloat(n.style.width))])"
    )
    return found


def test_the_seek_bar_shows_the_stage_of_each_segment(page: Page, store: Store) -> None:
    made = plain_job(store).begin()
    made.upload(range(3))
    made.detect(range(2))
    made.paint([0])

    page.goto(f"/jobs/{made.id}")

    assert eventually(lambda: runs(page), 20) == [
        ["painted", 0, 25],
        ["detected", 25, 25],
        ["stored", 50, 25],
    ]
    made.paint([1])
    eventually(lambda: runs(page)[0] == ["painted", 0, 50], 20)


def test_keys_play_pause_seek_and_mute(page: Page, store: Store) -> None:
    made = plain_job(store, audio=[make_audio()]).complete()
    page.goto(f"/jobs/{made.id}")
    eventually(lambda: video(page)["currentTime"] > 0.2, 20)

    page.keyboard.press(" ")
    eventually(lambda: video(page)["paused"])
    expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    before = video(page)["currentTime"]
    page.keyboard.press("ArrowRight")
    eventually(lambda: video(page)["currentTime"] == pytest.approx(before + 5, abs=0.01))
    page.keyboard.press("ArrowLeft")
    eventually(lambda: video(page)["currentTime"] == pytest.approx(before, abs=0.01))
    page.keyboard.press("m")
    expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("document.querySelector('video').muted")
    page.keyboard.press(" ")
    eventually(lambda: not video(page)["paused"])


@pytest.mark.slow
def test_played_segments_are_removed_and_loaded_again_on_demand(page: Page, store: Store) -> None:
    made = plain_job(store, 120.0).complete()
    page.goto(f"/jobs/{made.id}")
    eventually(lambda: video(page)["currentTime"] > 0.2, 30)

    set_video(page, "currentTime", 90)
    eventually(lambda: video(page)["currentTime"] > 90.3, 30)
    eventually(lambda: video(page)["ranges"][0][0] > 30, 30)
    set_video(page, "currentTime", 1)

    eventually(lambda: 1.2 < video(page)["currentTime"] < 20, 30)


def test_markup_in_a_file_name_is_shown_as_text(page: Page, store: Store) -> None:
    name = '<img src=x onerror="document.title=1">.mp4'
    made = plain_job(store, 4.0, name=name).complete()

    page.goto(f"/jobs/{made.id}")
    expect(page.locator("#name:visible")).to_have_text(name)
    page.goto("/")

    expect_visible_text(page, "#jobs", name)
    expect(page.locator("#jobs img")).to_have_count(0)


@pytest.mark.slow
def test_the_list_is_empty_at_first_and_then_shows_jobs(page: Page, store: Store) -> None:
    page.goto("/")
    expect_visible_text(page, "#empty", "facepaint upload")

    made = plain_job(store, 4.0).begin()
    made.upload(range(2))
    made.seal()
    made.detect(range(2))
    made.paint([0])

    expect_visible_text(page, "#jobs", "holiday.mp4")
    expect_visible_text(page, "#jobs", "50 %")
    expect(page.locator("#empty")).to_be_hidden()


def test_images_appear_as_they_are_painted_and_can_be_enlarged(page: Page, store: Store) -> None:
    job, look = stored_image_job(store, ["one.png", "two.png"])
    paint_image(store, job, look, 0)
    page.goto(f"/jobs/{job.id}")
    loaded = "[...document.querySelectorAll('#images img')].filter(n => n.naturalWidth).length"
    eventually(lambda: page.evaluate(loaded) == 1, 20)
    expect(page.locator("#player")).to_be_hidden()

    paint_image(store, job, look, 1)
    eventually(lambda: page.evaluate(loaded) == 2, 20)
    page.locator("#images button").first.click()
    page.keyboard.press("ArrowRight")

    expect(page.locator("#large-name:visible")).to_have_text("two.png")


def test_the_page_of_an_unknown_job_says_so(page: Page, page_errors: list[str]) -> None:
    job_id = "20260101T000000-aaaaaaaa"

    page.goto(f"/jobs/{job_id}")

    expect_visible_text(page, "#not-found", f"There is no job {job_id}")
    # Both the page and its request for the job are answered with 404; Chromium logs that itself.
    assert ["404" in error for error in page_errors] == [True, True]
    page_errors.clear()


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_the_pages_fit_any_width(new_page: NewPage, store: Store, width: int) -> None:
    long_name = "a_very_long_file_name_without_a_single_space_in_it_" * 3 + ".mp4"
    looks = ("sunglasses", "party-hat", "dog", "crown")
    made = plain_job(store, 4.0, name=long_name, filters=looks).complete()
    page = new_page(viewport={"width": width, "height": 800}, is_mobile=width < 800)
    for path in ("/", f"/jobs/{made.id}"):
        page.goto(path)
        expect_visible_text(page, "body", long_name)
        page.evaluate("document.querySelectorAll('details').forEach(n => { n.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_a_result_that_the_browser_cannot_decode_is_offered_for_download(
    page: Page, store: Store
) -> None:
    """Chromium is built without HEVC on Linux; elsewhere it plays where the machine does."""
    made = plain_job(store, 4.0, output=OutputProfile("libx265", preset="ultrafast")).complete()
    codec = store.get_record(keys.painted(made.id, made.look.id, 0), Painted).codec
    if page.evaluate(f"MediaSource.isTypeSupported('video/mp4; codecs=\"{codec}\"')"):
        pytest.skip("this Chromium plays HEVC")

    page.goto(f"/jobs/{made.id}")

    expect_visible_text(page, "#unplayable", "This browser cannot play the result's HEVC video")
    expect(page.locator("#player")).to_be_hidden()
    expect_visible_text(page, "#unplayable", f"facepaint view {made.id} --save painted.mp4")
    expect(page.locator("#unplayable-download:visible")).to_have_text("Download it.")


@pytest.mark.slow
def test_av1_plays(page: Page, store: Store) -> None:
    made = plain_job(store, 4.0, output=OutputProfile("libsvtav1", preset="ultrafast")).complete()

    page.goto(f"/jobs/{made.id}")

    assert eventually(lambda: video(page)["currentTime"] > 2.5, 20)
    assert video(page)["frames"] > 50
    expect(page.locator("#unplayable")).to_be_hidden()
