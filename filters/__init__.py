"""The filters: stickers, text, colour effects, warps and redactions.

`filters.registry.make_painter` turns a look into a painter. It paints on `filters.planes.Planes`,
at the position of a `filters.face.Face`.
"""
