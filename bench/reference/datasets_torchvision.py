"""datasets_torchvision.py - data sets read by torchvision's loaders: what ours is timed beside.

    python datasets_torchvision.py KIND FOLDER SIDE THREADS REPEATS     rows as bench-datasets prints
    python datasets_torchvision.py --make FOLDER PHOTO                  small sets in their published files, to time

KIND is mnist, cifar10 or folder. As many worker processes load as THREADS says. --make needs Pillow alone.
"""
import gzip
import os
import pickle
import random
import struct
import sys

import rows

MNIST, CIFAR, PHOTOS = 10000, 2000, 300  # images; CIFAR's is that of each of five batches


def save(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def make(folder, photo):
    """Random pixels for the records, the photograph in ten classes for the folder."""
    image = rows.need("PIL.Image")
    draw = random.Random(1)
    for part, n in (("train", MNIST), ("t10k", 100)):
        raw = os.path.join(folder, "MNIST", "raw", part)
        save(raw + "-images-idx3-ubyte", struct.pack(">4i", 0x803, n, 28, 28) + draw.randbytes(n * 784))
        save(raw + "-labels-idx1-ubyte", struct.pack(">2i", 0x801, n) + bytes(i % 10 for i in range(n)))
    numpy = rows.need("numpy")
    cifar = os.path.join(folder, "cifar-10-batches-py")
    for name in ["data_batch_%d" % i for i in range(1, 6)] + ["test_batch"]:
        data = numpy.frombuffer(draw.randbytes(CIFAR * 3072), numpy.uint8).reshape(CIFAR, 3072)
        save(os.path.join(cifar, name),
             pickle.dumps({"data": data, "labels": [i % 10 for i in range(CIFAR)]}, protocol=4))
    save(os.path.join(cifar, "batches.meta"), pickle.dumps({"label_names": [str(i) for i in range(10)]}, protocol=4))
    picture = image.open(photo).convert("RGB").resize((500, 375), image.BICUBIC)
    for i in range(PHOTOS):
        path = os.path.join(folder, "photos", "class%d" % (i % 10), "%d.jpg" % i)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        picture.save(path, quality=90)


def main():
    if sys.argv[1] == "--make":
        make(*sys.argv[2:4])
        return
    torch, torchvision = rows.need("torch", "torchvision")
    kind, folder = sys.argv[1:3]
    side, threads, repeats = map(int, sys.argv[3:6])
    from torchvision import datasets, transforms

    class Cifar(datasets.CIFAR10):
        """The loader without its checksums, which no small set has."""

        def _check_integrity(self):
            return True

        def _load_meta(self):
            self.classes = [str(i) for i in range(10)]

    steps = [transforms.Resize(side, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(side),
             transforms.PILToTensor()]
    if kind == "mnist":
        steps.insert(0, transforms.Grayscale(3))
    transform = transforms.Compose(steps)
    if kind == "folder":
        data = datasets.ImageFolder(folder, transform)
    else:
        data = {"mnist": datasets.MNIST, "cifar10": Cifar}[kind](folder, train=True, transform=transform)
    loader = torch.utils.data.DataLoader(data, batch_size=256, num_workers=threads, persistent_workers=True)

    def work():
        for _ in loader:
            pass

    rows.show(kind, "torchvision " + torchvision.__version__, threads, len(data), "images/s",
              rows.measure(work, repeats))


if __name__ == "__main__":
    main()
