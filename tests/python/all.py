"""all.py - every test of libturtle.py.    python all.py BUILD OUT FOLDER WHEEL      (tests/python/run)"""
import sys

import bits
import calls
import estimators
import hostile
import layouts
import loading
from checks import counts

build, out, folder, wheel = sys.argv[1:]
layouts.run(build, out, folder)
loading.run(build, out, folder, wheel)
estimators.run()
hostile.run()
calls.run()
bits.run(build, out, folder)
print("python: %(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
sys.exit(counts["failed"] > 0)
