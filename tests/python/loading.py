"""loading.py - which library is loaded, its version, the wheel, and what make install brings."""
import os
import re
import subprocess
import sys

import libturtle

from checks import check, python

WHICH = "import libturtle; print(libturtle._lib._name)"


def run(build, out, folder, wheel):
    library = os.path.abspath(out + "/lib/libturtle.so.0")
    version = re.search("^VERSION := (.*)", open("Makefile").read(), re.M).group(1)
    soname = libturtle._SONAME
    check("its version is the Makefile's", libturtle.__version__ == version, libturtle.__version__)
    beside = os.path.join(os.path.dirname(libturtle.__file__), soname)
    check("the wheel's library is loaded from beside the module", libturtle._lib._name == beside, libturtle._lib._name)
    listed = subprocess.run([sys.executable, "-m", "pip", "show", "-f", "libturtle"], stdout=subprocess.PIPE,
                            universal_newlines=True).stdout
    check("pip knows the package", "Version: " + version in listed and "Requires: numpy" in listed and soname in listed, listed)
    os.mkdir(folder + "/again")
    again = subprocess.run([".ci/wheel", library, "LICENSE", folder + "/again"], stdout=subprocess.PIPE)
    same = open(wheel, "rb").read() == open(again.stdout.decode().strip(), "rb").read()
    check("a wheel has the same bytes when it is packed again", same)

    status, said, error = python(WHICH, TURTLE_LIBRARY=library)
    check("TURTLE_LIBRARY is taken before the library beside the module", said.strip() == library, said, error)
    for what, path, words in [("a file that is not there", "/nowhere/libturtle.so", "/nowhere/libturtle.so"),
                              ("a library that is another one", "libm.so.6", "turtle_version")]:
        status, said, error = python(WHICH, TURTLE_LIBRARY=path)
        last = error.strip().split("\n")[-1]
        check(what + " is an ImportError that says what to do",
              status == 1 and last.startswith("ImportError: ") and words in last and "TURTLE_LIBRARY" in last, error)
    other = folder + "/other"
    os.mkdir(other)
    text = open("host/libturtle.py").read()
    with open(other + "/libturtle.py", "w") as file:
        file.write(text.replace('__version__ = "%s"' % version, '__version__ = "9.8.7"'))
    status, said, error = python(WHICH, path=other, TURTLE_LIBRARY=library)
    last = error.strip().split("\n")[-1]
    check("another version is an ImportError with both versions", status == 1 and last.startswith("ImportError: ")
          and version in last and "9.8.7" in last and library in last, error)

    prefix = folder + "/installed"
    subprocess.run(["make", "--no-print-directory", "-s", "BUILD=" + build, "install", "PREFIX=" + prefix],
                   stdout=subprocess.DEVNULL)
    status, said, error = python(WHICH, path=prefix + "/lib/python3/dist-packages")
    check("after make install the library of its LIBDIR is loaded", said.strip() == prefix + "/lib/" + soname, said, error)
