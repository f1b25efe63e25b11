"""What is painted on a face: stickers of ours, users' own pictures, and filters that hide.

`filters.registry.make_painter` turns a look into a painter; `filters.planes.Planes` is what it
paints on and `filters.face.Face` where.
"""
