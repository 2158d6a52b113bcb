"""File formats as containers: what a file holds of its first picture, before a pixel is decoded.

One module per format. Each `read(data)` walks the container's own blocks, refuses a file that is
cut short or contradicts itself, and hands on what paints the first picture and nothing else. So a
decoder never meets text, thumbnails, animation frames, further pages or broken metadata, and what
we do read of the metadata (EXIF, colour profile) is read here, by our rules.
"""
