"""images_pillow.py - decoding, resizing and cropping with Pillow on one thread: what ours is timed beside.

    python images_pillow.py RESIZE CROP REPEATS FILE...      one JSON object per file, as bench-images prints
    python images_pillow.py --make FOLDER FILE               FILE as JPEGs of common sizes, to time
"""
import io
import json
import os
import sys
import time

from PIL import Image, __version__


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
        load(data, resize, crop)
        start = time.perf_counter()
        for _ in range(repeats):
            load(data, resize, crop)
        rate = repeats / (time.perf_counter() - start)
        print(json.dumps({"program": "Pillow " + __version__, "file": path, "images_per_s": round(rate, 1)}))


if __name__ == "__main__":
    main()
