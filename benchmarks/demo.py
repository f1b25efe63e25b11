"""``make demo``: paints a clip with everything on this machine, and saves an image of before and
after.

The clip is generated from a public-domain portrait unless ``--clip`` names a video.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import av
from PIL import Image

from benchmarks.clips import make_portrait_clip


def frame_at(path: Path, share: float) -> Image.Image:
    """The upright frame at a share (0-1) of a video's length."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        length = container.duration or 0
        start = container.start_time or 0
        wanted = (start + length * share) / av.time_base
        shown = None
        for frame in container.decode(stream):
            shown = frame
            if frame.time is not None and frame.time >= wanted:
                break
        assert shown is not None, f"{path} has no frame"
        return shown.to_image().rotate(shown.rotation, expand=True)


def before_after(source: Path, painted: Path, out: Path, share: float = 0.3) -> None:
    """Save the same moment of two videos side by side."""
    pair = [frame_at(source, share), frame_at(painted, share)]
    width, height = pair[0].size
    joined = Image.new("RGB", (2 * width + 8, height), "white")
    joined.paste(pair[0], (0, 0))
    joined.paste(pair[1].resize(pair[0].size), (width + 8, 0))
    joined.save(out)


def main() -> int:
    """Make the clip, run facepaint on it, and print the paths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, help="your own video")
    parser.add_argument("--filter", default="sunglasses", help="what to paint")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    clip = options.clip
    if clip is None:
        clip = options.out / "clip.mp4"
        make_portrait_clip(clip)
    painted, image = options.out / "painted.mp4", options.out / "before-after.png"
    command = [
        sys.executable,
        "-m",
        "facepaint",
        "run",
        str(clip),
        "--out",
        str(painted),
        "--filter",
        options.filter,
    ]
    code = subprocess.run(command, check=False).returncode
    if code:
        return code
    before_after(clip, painted, image)
    print(f"\nsource   {clip}\npainted  {painted}\nimage    {image}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
