#!/bin/sh
# check_numpy.sh VERSION: whether records, intervals and cases come out the same under another NumPy. It installs that
# version beside the environment (not into it) and runs, with it in front of the path: first the tests of evidence and of
# cases, then the check of a store that the environment's own NumPy wrote.
set -e
version=${1:?which version of NumPy?}
python=${PYTHON:-.venv/bin/python}
beside=$(mktemp -d)
trap 'rm -rf "$beside"' EXIT
"$python" -m pip install -q --no-deps --target "$beside/numpy" "numpy==$version"
"$python" -m toulmin run tasks.behaviour --preset tiny --store "$beside/store"
"$python" -m toulmin run external.control --preset tiny --store "$beside/store"
export PYTHONPATH="$beside/numpy${PYTHONPATH:+:$PYTHONPATH}"
test "$("$python" -c 'import numpy; print(numpy.__version__)')" = "$version"
"$python" -m toulmin evidence verify --store "$beside/store"
"$python" -m pytest -q -m "not slow and not fuzz and not browser" tests/evidence tests/case tests/issues/test_issue12_store.py
