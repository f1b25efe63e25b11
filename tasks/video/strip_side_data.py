"""Remove the side data that decoders attach to frames and encoders copy: captions, user data."""

import av
import numpy as np


def strip_side_data(frame: av.VideoFrame) -> av.VideoFrame:
    """A frame with the same pixels, colours and time, and no side data.

    PyAV cannot remove side data, so the pixels are copied. A frame without any is returned itself.
    """
    if not len(frame.side_data):
        return frame
    bare = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for source, target in zip(frame.planes, bare.planes, strict=True):
        before, after = (
            np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            for plane in (source, target)
        )
        shared = min(source.line_size, target.line_size)
        after[:, :shared] = before[:, :shared]
    bare.pts = frame.pts
    bare.colorspace, bare.color_range = frame.colorspace, frame.color_range
    bare.color_primaries, bare.color_trc = frame.color_primaries, frame.color_trc
    return bare
