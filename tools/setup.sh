#!/usr/bin/env bash
# Makes .venv with a Python 3.10-3.13 that runs, and installs sast-deploy, its pinned dependencies and Lava.
# `make setup` calls it; PYTHON names the interpreter to use. When everything is in place it does nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_USER PIP_CONSTRAINT PIP_REQUIREMENT
export PYTHONNOUSERSITE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

readonly VENV=.venv STAMP=.venv/sast-deploy.stamp LOG=.venv/setup.log
readonly LAVA=(lava-nc==0.10.0 lava-dl==0.6.0)

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }

# A name on the PATH proves nothing: a pyenv shim may exist and fail, a distribution may leave out ensurepip.
usable() {
    "$1" -I -c 'import ensurepip, sys, sysconfig, venv
ok = (3, 10) <= sys.version_info[:2] <= (3, 13) and not sysconfig.get_config_var("Py_GIL_DISABLED")
sys.exit(not ok)' >/dev/null 2>&1
}

# Which installation an interpreter is: the same for a virtual environment and the Python it was made with.
identity() {
    "$1" -I -c 'import platform, sys; print(platform.python_version(), "in", sys.base_prefix)' 2>/dev/null
}

named_python() {
    local path
    path=$(type -P "$PYTHON") || die "PYTHON=$PYTHON: no such program"
    usable "$path" || die "PYTHON=$PYTHON: it must run, be Python 3.10 to 3.13, and have venv and ensurepip"
    echo "$path"
}

find_python() {
    local name path
    # 3.11 first: for it every dependency has a wheel, and most of the testing happened there.
    for name in 3.11 3.12 3.13 3.10 3 ""; do
        while read -r path; do
            if usable "$path"; then echo "$path"; return; fi
        done < <(type -aP "python$name"; ls "${PYENV_ROOT:-$HOME/.pyenv}/versions/$name".*/bin/python 2>/dev/null)
    done
    die "no Python 3.10 to 3.13 with venv and ensurepip runs here; install one (Debian: python3 and python3-venv)" \
        "or name it: make setup PYTHON=/path/to/python3.11"
}

# Where the environment is and what it was made from: a moved checkout or a changed pin makes it stale.
fingerprint() { echo "$PWD $(cat pyproject.toml constraints.txt tools/setup.sh | cksum)"; }

finished_here() {
    [ -f "$STAMP" ] || return 1
    [[ "$(<"$STAMP")" == "$PWD "* ]] || return 1
    "$VENV/bin/python" -I -c 'import sast_deploy' 2>/dev/null || return 1
    [ -z "$named" ] || [ "$(identity "$VENV/bin/python")" = "$(identity "$named")" ]
}

logged() {
    echo "\$ $*" >>"$LOG"
    "$@" >>"$LOG" 2>&1 && return
    echo "setup: this failed: $*" >&2
    grep -v 'is ignored: it is neither a file nor a directory' "$LOG" | tail -n 15 | sed 's/^/    /' >&2
    if [ -z "$(type -P cc gcc clang)" ]; then
        echo "setup: no C compiler here; Python 3.12 and 3.13 need one, for tonic's dependency expelliarmus" >&2
    fi
    die "the whole log is $LOG; run make setup again once that is mended"
}

started=$SECONDS
named=
if [ -n "${PYTHON:-}" ]; then named=$(named_python); fi
# Only a finished set-up left its stamp and may be updated in place; half of one is made anew.
if finished_here; then
    if [ "$(<"$STAMP")" = "$(fingerprint)" ]; then exit 0; fi
    say "pyproject.toml, constraints.txt or tools/setup.sh changed: updating $VENV"
else
    python=${named:-$(find_python)}
    say "Python $(identity "$python") -> $VENV"
    rm -rf "$VENV"
    "$python" -I -m venv "$VENV" || die "$python -m venv $VENV failed"
fi
rm -f "$STAMP"
: >"$LOG"
say "installing sast-deploy and its pinned dependencies; torch is large: this can take minutes (log: $LOG)"
logged "$VENV/bin/python" -I -m pip install -c constraints.txt -e '.[dev]'
say "installing ${LAVA[*]}, whose own limits (Python < 3.11, numpy < 2, torch < 2.4) are out of date"
logged "$VENV/bin/python" -I -m pip install --no-deps --ignore-requires-python "${LAVA[@]}"
logged "$VENV/bin/python" -I -c 'import sast_deploy'
fingerprint >"$STAMP"
say "ready after $((SECONDS - started)) s; .venv/bin/sast-deploy doctor shows what is there"
