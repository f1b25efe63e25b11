"""When frames are shown: unevenly, late, early, seldom, all at once, and what edit lists make of
it."""

from fractions import Fraction
from pathlib import Path

from tests.support.clips.registry import clip
from tests.support.clips.spliced import splice
from tests.support.clips.write import FPS, SIZE, AudioTrack, Video, portrait, write_clip

MILLISECONDS = Fraction(1, 1000)

CLOCK_WRAPS_S = Fraction(2**33, 90_000)


@clip("uneven.mkv", "variable frame rate, one keyframe", quick=True)
def uneven(path: Path) -> None:
    """Screen recordings look like this: bursts, gaps of up to a second, one keyframe, reordered
    frames."""
    gaps_ms = [10, 40, 500, 33, 950, 20, 20, 200] * 6
    times = [sum(gaps_ms[:number]) for number in range(len(gaps_ms))]
    video = Video(options={"bf": "3"}, gop=999, time_base=MILLISECONDS)
    write_clip(path, portrait()[: len(times)], video, times=times)


@clip("uneven.mp4", "variable frame rate, MP4")
def uneven_mp4(path: Path) -> None:
    """Phones in the dark: 1/30 to 1/10 s a frame, counted in 1/90000 s."""
    steps = [3000, 3003, 2998, 9001, 3000, 4507]
    times = [0]
    for number in range(len(portrait()) - 1):
        times.append(times[-1] + steps[number % len(steps)])
    write_clip(
        path,
        video=Video(options={"bf": "2"}, time_base=Fraction(1, 90_000)),
        audio=[AudioTrack()],
        times=times,
    )


@clip("hole.mp4", "a gap of 3 s in the timestamps")
def hole(path: Path) -> None:
    """A camera that hung: nothing is shown anew from 1 to 4 s; the audio goes on."""
    times = [number if number < FPS else number + 3 * FPS for number in range(len(portrait()))]
    write_clip(path, video=Video(options={"bf": "2"}), audio=[AudioTrack(seconds=5.5)], times=times)


@clip("late.mp4", "first frame at 2.5 s")
def late(path: Path) -> None:
    """Everything begins at 2.5 s, by an empty edit."""
    times = range(5 * FPS // 2, 5 * FPS // 2 + len(portrait()))
    write_clip(path, video=Video(options={"bf": "3"}), audio=[AudioTrack(start_s=2.5)], times=times)


@clip("wrapping.ts", "negative start: the clock of MPEG-TS wraps", quick=True)
def wrapping(path: Path) -> None:
    """The 33 bits of its times run over after 1.2 s, as they do every 26.5 h; what was before is
    counted below 0."""
    begin = int(CLOCK_WRAPS_S * FPS) - 24
    times = range(begin, begin + len(portrait()))
    write_clip(
        path,
        video=Video(options={"bf": "2"}),
        audio=[AudioTrack("mp2", start_s=begin / FPS)],
        times=times,
    )


@clip("trimmed.mp4", "edit list that skips the first frames", quick=True)
def trimmed(path: Path) -> None:
    """As phones trim: an edit list that begins between keyframes at 0.7 s."""
    whole = path.with_name("whole.mp4")
    write_clip(whole, video=Video(options={"bf": "2"}, gop=999), audio=[AudioTrack()])
    splice(whole, path, [(0.7, 1.8)])


@clip("spliced.mp4", "edit list of two parts")
def spliced(path: Path) -> None:
    """Seconds 0 to 0.9 and 1.6 to 2.3 of a clip; what leads up to the second part is decoded and
    not shown."""
    whole = path.with_name("whole.mp4")
    write_clip(whole, video=Video(options={"bf": "2"}, gop=40))
    splice(whole, path, [(0, 0.9), (1.6, 0.7)])


@clip("120fps.mp4", "120 frames a second")
def fast(path: Path) -> None:
    """A phone's slow motion, as it was shot."""
    write_clip(
        path,
        portrait(1.5, (240, 136), 120),
        Video(options={"bf": "2"}, fps=120, gop=90),
        audio=[AudioTrack("aac", 1.5)],
    )


@clip("1fps.mp4", "1 frame a second")
def slow(path: Path) -> None:
    """A time lapse of five frames."""
    write_clip(path, portrait(5, SIZE, 1), Video(options={"bf": "1"}, fps=1))


@clip("single.mp4", "one frame only")
def single(path: Path) -> None:
    """One frame, with half a second of audio."""
    write_clip(path, portrait()[:1], audio=[AudioTrack(seconds=0.5)])


@clip("minute.mp4", "one keyframe in 60 s")
def minute(path: Path) -> None:
    """A screen share at 5 frames a second: everything is decoded from its one keyframe on."""
    images = portrait(60, (160, 90), 5)
    write_clip(
        path, images, Video(options={"bf": "2"}, fps=5, gop=9999), audio=[AudioTrack(seconds=60)]
    )


@clip("headless.ts", "begun inside a GOP")
def headless(path: Path) -> None:
    """As in recordings of broadcasts; players skip frames before the first keyframe."""
    whole = path.with_name("whole.ts")
    write_clip(whole, video=Video(options={"bf": "3"}), audio=[AudioTrack()])
    path.write_bytes(whole.read_bytes()[188 * 60 :])
