"""Shapes of images: channels come first here, and last elsewhere."""

from __future__ import annotations

#: Channels of images: grey, red-green-blue, and with transparency.
_CHANNELS = (1, 3, 4)
#: What brings images whose channels come last into our order.
CHANNELS_FIRST = "transpose(0, 3, 1, 2)"


def has_channels_last(shape: tuple[int, ...]) -> bool:
    """Return True if an image's shape is (height, width, channels) by the looks of it.

    That is 1, 3 or 4 behind two numbers that are larger.
    """
    if len(shape) != 3 or shape[2] not in _CHANNELS:
        return False
    return min(shape[:2]) > max(_CHANNELS)
