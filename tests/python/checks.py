"""checks.py - counts what holds, and shows what does not."""
import os
import subprocess
import sys

import numpy as np

counts = {"passed": 0, "failed": 0, "skipped": 0}


def check(what, holds, *said):
    counts["passed" if holds else "failed"] += 1
    if not holds:
        print("not ok - python: %s%s" % (what, "".join("\n    " + str(x) for x in said)), flush=True)


def skip(what):
    counts["skipped"] += 1
    print("python: skipped: " + what, flush=True)


def raised(kind, function, *args, **kwargs):
    """Returns the exception of that kind which a call raises, or None."""
    try:
        function(*args, **kwargs)
    except kind as error:
        return error
    return None


def refused(what, kind, words, function, *args, **kwargs):
    """Checks that a call raises `kind` with one line that has `words` in it."""
    try:
        function(*args, **kwargs)
        check(what, False, "it was accepted")
    except Exception as error:
        text = str(error)
        check(what, isinstance(error, kind) and words in text and "\n" not in text, "%s: %s" % (type(error).__name__, text))


def python(code, *args, path=None, **environment):
    """Returns status, stdout and stderr of a Python program; `path` stands before the installed packages."""
    env = dict(os.environ, **environment)
    if path:
        env["PYTHONPATH"] = path
    ran = subprocess.run([sys.executable, "-c", code] + [str(x) for x in args], env=env, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, universal_newlines=True, timeout=120)
    return ran.returncode, ran.stdout, ran.stderr


def groups(C=3, n=100, d=8, dtype=np.float32, noise=0.05):
    """Returns features (C n, d) of C groups, and their labels."""
    random = np.random.default_rng(7)
    y = np.repeat(np.arange(C), n)
    return (np.eye(C, d)[y] + noise * random.standard_normal((C * n, d))).astype(dtype), y
