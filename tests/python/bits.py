"""bits.py - the program and the module give the same bits for the same inputs and seed; the example."""
import glob
import json
import subprocess
import sys

import numpy as np

from libturtle import KMeans, LogisticRegression, Turtle, encode

from checks import check


def run(build, out, folder):
    demo = build + "/data/demo/"
    files = [demo + "representations/%s/mnist_train.npy" % phi for phi in ("patches", "gabor")]
    labels = demo + "labels/mnist_train.npy"
    spaces = [np.load(path, mmap_mode="r") for path in files]
    half = [folder + "/half%d.npy" % k for k in range(2)]
    for path, z in zip(half, spaces):
        np.save(path, z.astype(np.float16))

    def program(*args):
        said = subprocess.run([out + "/turtle"] + list(args) + ["--quiet", "--json"], stdout=subprocess.PIPE).stdout
        return json.loads(said)

    for what, inputs, flags, values in [
            ("philox", files, [], {}),
            ("the published streams and warm heads", files[:1], ["--rng", "torch", "--warm_start"], {"rng": "torch", "warm_start": True}),
            ("float16", half, ["--seed", "7", "--gamma", "5"], {"random_state": 7, "gamma": 5})]:
        said = program("train", "--features", *inputs, "--classes", "10", "--T", "8", "--batch_size", "1000", "--out", folder + "/run",
                       "--restart", "--predictions", folder + "/p.npy", "--probabilities", folder + "/soft.npy", *flags)
        turtle = Turtle(10, T=8, batch_size=1000, **values)
        Z = [np.load(path, mmap_mode="r") for path in inputs]
        check("the program's clusters: " + what, np.array_equal(turtle.fit_predict(Z), np.load(folder + "/p.npy")))
        check("the program's soft labels, bit for bit: " + what, np.array_equal(turtle.predict_proba(Z), np.load(folder + "/soft.npy")))
        check("the program's loss: " + what, turtle.loss_ == said["loss"] and turtle.entropy_ == said["entropy"],
              turtle.loss_, said["loss"])
    said = program("kmeans", "--features", *files, "--classes", "10", "--n_init", "2", "--max_iter", "20", "--predictions", folder + "/k.npy")
    kmeans = KMeans(10, n_init=2, max_iter=20).fit(spaces)
    check("the program's k-means", np.array_equal(kmeans.labels_, np.load(folder + "/k.npy")) and kmeans.inertia_ == said["inertia"])
    said = program("probe", "--features", files[0], "--labels", labels, "--max_iter", "20")
    regression = LogisticRegression(max_iter=20).fit(spaces[0], np.load(labels))
    check("the program's regression", regression.n_iter_ == said["iterations"]
          and regression.score(spaces[0], np.load(labels)) == said["train_acc"], said["train_acc"])

    weights = "data/demo/checkpoints/demo_vit.pth"
    program("features", "--images", "tests/goldens/images", "--weights", weights, "--root_dir", folder, "--name", "pictures", "--skip_bad")
    written = glob.glob(folder + "/representations/*/pictures_train.npy")
    listed = open(written[0][:-3] + "txt").read().split("\n")[:-1]
    paths = ["tests/goldens/images/" + line for line in listed]
    check("the program reads pictures", len(paths) > 10, written, listed)
    steps = []
    found = encode(paths, weights, progress=lambda p: steps.append(p.iteration) and None)
    check("encode gives the program's features of files, bit for bit", np.array_equal(found, np.load(written[0])), found.shape)
    check("encode tells its progress", steps and steps[-1] == len(paths), steps)
    check("encode takes whole files as bytes", np.array_equal(encode([open(p, "rb").read() for p in paths[:2]], weights), found[:2]))
    rgb = np.random.default_rng(3).integers(0, 256, (3, 30, 20, 3), np.uint8)
    check("encode takes pixels, and an order of axes that is another one", np.array_equal(
        encode(rgb, weights), encode(np.asfortranarray(rgb), weights)) and encode(rgb, weights, dtype=np.float16).dtype == np.float16)
    example = subprocess.run([sys.executable, "tests/python/example.py", files[0], labels], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             universal_newlines=True)
    words = example.stdout.split()
    check("the example prints two accuracies", example.returncode == 0 and len(words) == 4 and 0.3 < float(words[1]) <= 1
          and 0.3 < float(words[3]) <= 1, example.stdout, example.stderr)

