"""What a component exports: `wstream transform build` starts from here."""

from transform import Guest as GuestFrames

__all__ = ["GuestFrames"]
