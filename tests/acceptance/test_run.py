"""`facepaint run` paints videos and images on one machine and keeps the audio."""

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import onnxruntime
import pytest
from PIL import Image

from benchmarks.clips import make_portrait_clip
from tests.support.media_compare import changed_share, read_audio, read_video
from tests.support.programs import run_facepaint

needs_no_gpu = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="a GPU would be used"
)

REAL_CLIPS = {
    "hall.mp4": True,
    "phone-rotate90.mp4": True,
    "appears-hevc-vfr.mov": True,
    "single-face-mp3.mp4": True,
    "no-face.mp4": False,
    "tall-no-audio.mp4": True,
}
"""Real clips, and whether they show a face."""


def facepaint(*arguments: object, home: Path) -> subprocess.CompletedProcess[str]:
    return run_facepaint(*arguments, environment={"FACEPAINT_HOME": str(home)})


def assert_same_but_painted(source: Path, result: Path, *, faces: bool) -> None:
    before, after = read_video(source, keep_every=10), read_video(result, keep_every=10)
    assert len(after.times) == len(before.times)
    for there, here in zip(before.times, after.times, strict=True):
        assert abs(there - here) <= before.time_base
    width, height = before.size
    assert after.size == (width + width % 2, height + height % 2)
    assert [[digest for _, digest in track] for track in after.audio] == [
        [digest for _, digest in track] for track in before.audio
    ]
    for there_track, here_track in zip(before.audio, after.audio, strict=True):
        for (there, _), (here, _) in zip(there_track, here_track, strict=True):
            assert abs(there - here) <= Fraction(1, 1000)
    shares = [changed_share(b, a) for b, a in zip(before.luma, after.luma, strict=True)]
    if faces:
        assert sum(share > 0.001 for share in shares) > 0.3 * len(shares), shares
    else:
        assert max(shares) < 0.001, shares


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--detector", "no-such"], "unknown detector 'no-such'"),
        (["--out", "no/such/folder/out.mp4"], "there is no folder"),
        pytest.param(["--device", "cuda"], "device 'cuda' was requested", marks=needs_no_gpu),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(
    tmp_path: Path, options: list[str], message: str
) -> None:
    clip = make_portrait_clip(tmp_path / "party.mp4", seconds=1)
    done = facepaint("run", clip, *options, home=tmp_path / "home")
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_run_redacts_only_the_selected_person(tmp_path: Path) -> None:
    clip = make_portrait_clip(tmp_path / "party.mp4", seconds=2, size=(320, 180), fps=15)
    done = facepaint(
        "run", clip, "-f", "fill", "--only", "1", "-o", tmp_path / "out.mp4", home=tmp_path / "home"
    )
    assert done.returncode == 0, done.stderr
    before, after = read_video(clip), read_video(tmp_path / "out.mp4")
    for there, here in zip(before.luma, after.luma, strict=True):
        left, right = slice(0, 150), slice(170, 320)  # the first person stands on the left
        assert changed_share(there[:, left], here[:, left]) > 0.05
        assert changed_share(there[:, right], here[:, right]) < 0.01


def test_run_paints_a_video_and_keeps_its_audio(tmp_path: Path) -> None:
    clip = make_portrait_clip(tmp_path / "party.mp4", seconds=6)
    out = tmp_path / "painted.mp4"
    done = facepaint("run", clip, "--out", out, "--filter", "sunglasses", home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"party.mp4 -> {out}\n"
    assert_same_but_painted(clip, out, faces=True)
    assert read_audio(out)[0], "the clip has audio"
    assert not list((tmp_path / "home" / "runs").glob("*")), "the private folder is removed"


@pytest.mark.slow
def test_run_paints_the_other_inputs_when_one_is_bad(tmp_path: Path) -> None:
    clip = make_portrait_clip(tmp_path / "good.mp4", seconds=2)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video at all")
    portrait = tmp_path / "portrait.png"
    Image.new("RGB", (200, 150), "teal").save(portrait)
    folder = tmp_path / "out"
    folder.mkdir()
    options = ("-o", folder, "--filter", "blur", "--json")
    done = facepaint("run", clip, bad, portrait, *options, home=tmp_path / "home")
    assert done.returncode == 3
    assert "bad.mp4" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 2
    assert (folder / "good-painted.mp4").exists()
    assert (folder / "portrait.png").exists()


@pytest.mark.slow
@pytest.mark.clips
@pytest.mark.parametrize("name", REAL_CLIPS)
def test_run_paints_real_clips(name: str, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "painted.mp4"
    done = facepaint(
        "run", clips / name, "--out", out, "--filter", "sunglasses", home=tmp_path / "home"
    )
    assert done.returncode == 0, done.stderr
    assert_same_but_painted(clips / name, out, faces=REAL_CLIPS[name])
