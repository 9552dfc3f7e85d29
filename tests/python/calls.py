"""calls.py - a call is stopped by Ctrl-C, by an exception and by its progress function; it runs beside others, and copies no features."""
import os
import signal
import threading
import time

import numpy as np

from libturtle import KMeans, LogisticRegression, Stopped, Turtle

from checks import check, groups, python, raised

LONG = 10**9  # iterations: such a training ends by being stopped

PEAK = """
import sys, warnings
import numpy as np
from libturtle import Turtle
def peak():  # MiB
    return int([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]) / 1024
Z = np.empty((200, 1000, 1024), np.float16)
Z[:] = np.random.default_rng(1).standard_normal((1000, 1024), np.float32)
Z = Z.reshape(-1, 1024)
Turtle(10, T=1).fit(Z[:1000])
warnings.simplefilter("ignore")
before = peak()
turtle = Turtle(10, T=2, batch_size=1000).fit(Z if sys.argv[1] == "whole" else Z[::2])
turtle.predict(Z)
print(peak() - before)
"""


def interrupt(seconds, number=signal.SIGINT):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), number))
    timer.start()


def stopping(Z, y):
    for what, progress in [("without progress", None), ("with progress", lambda p: None)]:
        turtle = Turtle(3, T=LONG, progress=progress)
        interrupt(0.3)
        began = time.time()
        error = raised(KeyboardInterrupt, turtle.fit, Z)
        check("Ctrl-C stops a training " + what, error is not None and time.time() - began < 5, time.time() - began)
        check("and it leaves no labels", not hasattr(turtle, "labels_"))
    interrupt(0.3)
    check("Ctrl-C stops k-means", raised(KeyboardInterrupt, KMeans(3, n_init=10**6).fit, Z) is not None)

    told = []
    error = raised(Stopped, LogisticRegression(tol=1e-12, progress=lambda p: told.append(p.iteration) or len(told) == 3).fit, Z, y)
    check("the progress function of a regression stops it", error is not None and len(told) == 3, error, told)

    def alarm(number, frame):
        raise TimeoutError("it took too long")

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    check("an exception of a signal handler ends the call", str(raised(TimeoutError, Turtle(3, T=LONG).fit, Z)) == "it took too long")
    signal.signal(signal.SIGALRM, before)

    problem, seen = ZeroDivisionError("mine"), []

    def fails(p):
        seen.append((p.iteration, threading.current_thread() is threading.main_thread()))
        if p.iteration == 3:
            raise problem

    check("the exception of a progress function is raised itself", raised(ZeroDivisionError, Turtle(3, T=LONG, progress=fails).fit, Z) is problem)
    check("it was called after each iteration, in the caller's thread, and not again", seen == [(1, True), (2, True), (3, True)], seen)
    error = raised(Stopped, Turtle(3, T=LONG, progress=lambda p: p.iteration == 4).fit, Z)
    check("a true answer ends a call with Stopped", "after 4 of" in str(error), error)
    told = []
    Turtle(3, T=40, progress=told.append).fit(Z)
    check("progress tells the iteration, of how many, and the loss", len(told) == 40 and told[-1].iteration == told[-1].iterations == 40
          and told[-1].unit == "it" and np.isfinite(told[-1].loss) and told[-1].clusters_found >= 1, told[-1:])
    inner = []
    Turtle(3, T=2, progress=lambda p: inner.append(Turtle(3, T=1).fit_predict(Z)) and None).fit(Z)
    check("a progress function may train", len(inner) == 2)


def beside(Z):
    alone, found = Turtle(3, T=200).fit(Z), [None] * 4

    def work(i):
        found[i] = Turtle(3, T=200, progress=(lambda p: None) if i % 2 else None).fit(Z)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("trainings in four threads give the bits of one alone", all(np.array_equal(x.coef_, alone.coef_) for x in found))


def run():
    Z, y = groups()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background commands with SIGINT ignored
    stopping(Z, y)
    beside(Z)
    # 391 MiB of features; what a training needs beside them is small, and a copy of half of them would be seen
    status, said, error = python(PEAK, "whole")
    check("features are not copied: the peak grows by less than 40 of 391 MiB", status == 0 and float(said) < 40, said, error)
    status, said, error = python(PEAK, "half")
    check("a view with gaps is copied, and the peak shows it", status == 0 and float(said) > 190, said, error)
