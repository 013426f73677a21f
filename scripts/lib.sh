# Shared by the scripts beside it: finds a Python, makes .venv, installs locked versions. POSIX shell.
# Everything that is fetched is pinned by hash in scripts/locks/.

set -eu
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1
# pip warns as root and about a cache that it cannot own; neither matters inside .venv
export PIP_ROOT_USER_ACTION=ignore

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
    done
    die "Python 3.11 or newer is needed: install python3 and python3-venv, or name one with VOXGATE_PYTHON=/path/to/python3"
}

# install_lock NAME: .venv holds just what scripts/locks/NAME.txt pins, and this project. Quick when it already does.
install_lock() {
    lock="scripts/locks/$1.txt"
    [ -f "$lock" ] || die "there is no extra '$1'; there are: $(cd scripts/locks && echo *.txt | sed 's/\.txt//g')"
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c '' 2>/dev/null; then
        python=$(find_python)
        say "making .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv || { rm -rf .venv; die "could not make .venv: on Debian and Ubuntu, apt-get install python3-venv"; }
    fi
    stamp=".venv/.installed-$1"
    want=$(cat "$lock" pyproject.toml | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return 0
    say "installing the locked versions of scripts/locks/$1.txt into .venv"
    .venv/bin/python -m pip install --quiet --require-hashes --requirement "$lock" ||
        die "installing failed: is a package index reachable, and is there room on the disk? See the lines above"
    .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable . ||
        die "installing voxgate itself into .venv failed: see the lines above"
    printf '%s\n' "$want" >"$stamp"
}
