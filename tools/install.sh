#!/bin/sh
# Make .venv from requirements.lock, then put Wireroom itself into it, editable. Safe to run again at any time.
# Needs a Python 3.11 or newer with pip or ensurepip, and a package index. PYTHON=… names another interpreter.
set -eu
cd "$(dirname "$0")/.."

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

echo "Installing into .venv, up to a minute …"
if ! usable .venv/bin/python; then
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        usable "$candidate" && base=$candidate && break
    done
    if [ -z "${base:-}" ]; then
        echo "Wireroom needs Python 3.11 or newer: install it, or say where it is: make install PYTHON=/path/to/python3" >&2
        exit 1
    fi
    # Some systems ship venv without pip in it; theirs then installs from outside.
    "$base" -m venv --clear .venv 2>/dev/null || "$base" -m venv --clear --without-pip .venv
fi

pip() {
    if .venv/bin/python -c 'import pip' 2>/dev/null; then .venv/bin/python -m pip --disable-pip-version-check "$@"
    else "${base:-python3}" -m pip --disable-pip-version-check --python .venv/bin/python "$@"; fi
}

# uv installs the lock in a tenth of pip's time, but does not read pip's settings: hand the index and certificates on.
with_uv() {
    awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock >.venv/uv.lock
    pip install --quiet --require-hashes -r .venv/uv.lock || return
    index=${PIP_INDEX_URL:-$(pip config get global.index-url 2>/dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    [ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
    uv_install --require-hashes -r requirements.lock && uv_install --no-deps --no-build-isolation --editable .
}

uv_install() {
    .venv/bin/python -m uv pip install --quiet --no-cache --system-certs --python .venv/bin/python "$@"
}

with_pip() {
    pip install --quiet --no-compile --require-hashes -r requirements.lock
    pip install --quiet --no-deps --no-build-isolation --editable .
}

with_uv || { echo "uv cannot install from this index; going on with pip, which takes a minute or two" >&2; with_pip; }
touch .venv/installed
