# Shared by the scripts beside it: finds a Python, makes .venv, installs locked versions. POSIX shell.
# Everything that is fetched is pinned by hash in scripts/locks/.
# shellcheck shell=sh

set -eu
unset CDPATH # it would send a relative `cd` elsewhere
cd "$(dirname "$0")/.."
# a shell that is started without PATH has one of its own, but keeps it from Python, which then cannot find itself
export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
# pip warns as root and about a cache that it cannot own; neither matters inside .venv
export PIP_ROOT_USER_ACTION=ignore
# settings for other installations, which would lead pip out of .venv
export PIP_USER=0
unset PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONHOME

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

find_python() {
    for candidate in "${VOXGATE_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
                die "$candidate has no venv: install it, on Debian and Ubuntu with: apt-get install python3-venv"
            printf '%s\n' "$candidate"
            return
        fi
        [ "$candidate" != "${VOXGATE_PYTHON:-}" ] || die "VOXGATE_PYTHON=$candidate is no Python 3.11 or newer"
    done
    die "Python 3.11 or newer is needed: install python3 and python3-venv, or name one with VOXGATE_PYTHON=/path/to/python3"
}

# An installation that was killed leaves .venv/.unfinished: what is there then cannot be trusted, pip takes half a package
# for a whole one. A .venv that was copied or moved has the old place in its scripts.
usable_venv() {
    [ -x .venv/bin/python ] && [ ! -e .venv/.unfinished ] || return 1
    [ ! -e .venv/.place ] || [ "$(cat .venv/.place)" = "$(pwd -P)" ] || return 1
    .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    { rm -rf .venv && mkdir .venv && : >.venv/.unfinished; } 2>/dev/null ||
        die "cannot write to $(pwd -P): .venv belongs there"
    "$python" -m venv .venv >.venv/install.log 2>&1 ||
        die "could not make .venv: $(tail -n 1 .venv/install.log) (on Debian and Ubuntu: apt-get install python3-venv)"
    pwd -P >.venv/.place
}

# pip_install WHAT ARGS…: quiet; a failure is one line, and all that pip said is kept.
pip_install() {
    what=$1
    shift
    .venv/bin/python -m pip install --quiet "$@" >.venv/install.log 2>&1 && return
    rm -f .venv/.unfinished # pip itself ended, so it has cleaned up
    reason=$(grep -i '^error' .venv/install.log | tail -n 1)
    die "installing $what failed: ${reason:-$(tail -n 1 .venv/install.log)} (Is a package index reachable," \
        "is there room on the disk? All that pip said: .venv/install.log)"
}

extras() { (cd scripts/locks && echo *.txt | sed 's/\.txt//g'); }

# install_lock NAME: .venv holds what scripts/locks/NAME.txt pins, and this project. Quick when it already does.
install_lock() {
    lock="scripts/locks/$1.txt"
    [ -f "$lock" ] || die "there is no extra '$1'; there are: $(extras)"
    usable_venv || make_venv
    stamp=".venv/.installed-$1"
    want=$(cat "$lock" pyproject.toml | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return 0
    { : >.venv/.unfinished; } 2>/dev/null || die "cannot write to $(pwd -P)/.venv, where the locked versions belong"
    .venv/bin/python -c 'import pip' 2>/dev/null || make_venv
    say "installing the locked versions of $lock into .venv"
    pip_install "$lock" --require-hashes --requirement "$lock"
    pip_install "voxgate itself" --no-deps --no-build-isolation --no-index --editable .
    printf '%s\n' "$want" >"$stamp"
    rm -f .venv/.unfinished
}
