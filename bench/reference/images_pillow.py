"""images_pillow.py - decoding, resizing and cropping with Pillow on one thread: what ours is timed beside.

    python images_pillow.py RESIZE CROP REPEATS FILE...      rows as bench-images prints
    python images_pillow.py --make FOLDER FILE               FILE as JPEGs of common sizes, to time
"""
import io
import os
import sys

import rows

Image = rows.need("PIL.Image")


def load(data, resize, crop):
    """What torchvision's Resize(resize, BICUBIC) and CenterCrop(crop) do to a file's RGB image."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    w, h = image.size
    size = (resize, int(resize * h / w)) if w < h else (int(resize * w / h), resize)
    image = image.resize(size, Image.BICUBIC)
    left, top = round((size[0] - crop) / 2), round((size[1] - crop) / 2)
    return image.crop((left, top, left + crop, top + crop)).tobytes()


def main():
    if sys.argv[1] == "--make":
        for w, h in ((500, 375), (1600, 1200)):
            name = os.path.join(sys.argv[2], "photo%dx%d.jpg" % (w, h))
            Image.open(sys.argv[3]).convert("RGB").resize((w, h), Image.BICUBIC).save(name, quality=90)
        return
    resize, crop, repeats = map(int, sys.argv[1:4])
    for path in sys.argv[4:]:
        with open(path, "rb") as f:
            data = f.read()
        rows.show(os.path.basename(path), "Pillow " + Image.__version__, 1, 1, "images/s",
                  rows.measure(lambda: load(data, resize, crop), repeats))


if __name__ == "__main__":
    main()
