"""layouts.py - the structures of libturtle.py are those that a C compiler makes of turtle.h."""
import ctypes
import re
import subprocess

import libturtle

from checks import check

KINDS = {"int64": "int64_t", "uint64": "uint64_t", "double": "double", "int": "int", "bool": "bool"}


def run(build, out, folder):
    cc = re.search("^USE_CC := (.*)", open(build + "/probe.mk").read(), re.M).group(1).split()
    structs = {name: kind for name, kind in libturtle._TYPES.items() if name.startswith("Turtle")}
    kind_of = {kind: KINDS[name] for name, kind in libturtle._TYPES.items() if name in KINDS}
    source, ours = ["#include <stddef.h>", "#include <stdio.h>", "#include <turtle.h>",
                    "#define KIND(x) _Generic((x), int64_t: \"int64_t\", uint64_t: \"uint64_t\", double: \"double\", "
                    "int: \"int\", bool: \"bool\", unsigned: \"int\", default: \"other\")", "int main(void) {"], []
    for name, struct in structs.items():
        source.append('printf("%s %%zu\\n", sizeof(%s));' % (name, name))
        ours.append("%s %d" % (name, ctypes.sizeof(struct)))
        for field, kind in struct._fields_:
            source.append('printf("%s.%s %%zu %%zu %%s\\n", offsetof(%s, %s), sizeof ((%s *)0)->%s, KIND(((%s *)0)->%s));'
                          % ((name, field) + (name, field) * 3))
            at = getattr(struct, field)
            ours.append("%s.%s %d %d %s" % (name, field, at.offset, at.size, kind_of.get(kind, "other")))
    with open(folder + "/layouts.c", "w") as file:
        file.write("\n".join(source + ["return 0; }", ""]))
    made = subprocess.run(cc + ["-std=c11", "-I" + out + "/lib", folder + "/layouts.c", "-o", folder + "/layouts"],
                          stderr=subprocess.PIPE, universal_newlines=True)
    check("turtle.h has every field that libturtle.py declares", made.returncode == 0, made.stderr[:2000])
    if made.returncode:
        return
    theirs = subprocess.run([folder + "/layouts"], stdout=subprocess.PIPE, universal_newlines=True).stdout.split("\n")[:-1]
    check("sizes, offsets and types of %d fields are the header's" % len(ours), ours == theirs,
          *["%s, in C %s" % pair for pair in zip(ours, theirs) if pair[0] != pair[1]][:9])
