#!/usr/bin/env bash
# Builds a copy of the tree with the address and undefined-behaviour sanitizers, and runs the tests
# of the compiled parts in it: tests/shm, tests/rules, tests/relay, tests/health and repeated questions
# of resolverd, or what SANITIZED_TESTS names.
# Arguments go to pytest. Then another copy with the thread sanitizer, in which threads hammer the
# places and the stick tables that relays share (THREADED_TESTS).
#
# The copies are build/sanitize and build/sanitize-thread, so the tree's own extension modules stay
# as they are. Every process under test writes its reports to the copy's folder `reports`; one
# report fails the run, even when the test that caused it passed. The thread sanitizer knows no
# fences: it says whether each word is touched by atomics alone; that their order is right, the
# tests say. Leaks are not looked for here: an interpreter that ends by os._exit leaves what it had;
# the tests of the relay count descriptors and memory instead.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}

make_copy() { # folder, kind: the tree, built with sanitizers of this kind
    mkdir -p "$1"
    for part in shm proxy resolverd loadtest tests; do
        mkdir -p "$1/$part"
        # nothing stale but the extension modules; timestamps are kept: only changes are compiled
        find "$1/$part" -type f ! -name '*.so' -delete
        tar -C "$root" --exclude='*.so' --exclude=__pycache__ -cf - "$part" | tar -C "$1" -xf -
    done
    cp -p "$root/setup.py" "$root/pyproject.toml" "$1/"
    [ ! -f "$root/README.md" ] || cp -p "$root/README.md" "$1/"
    cd "$1"
    MILLRACE_SANITIZE=$2 "$python" setup.py -q build_ext --inplace
    rm -rf "$1/reports"
    mkdir -p "$1/reports"
}

finish() { # folder, status: one report is a failure
    if [ -n "$(ls -A "$1/reports")" ]; then
        cat "$1/reports"/*
        exit 1
    fi
    [ "$2" = 0 ] || exit "$2"
}

copy=$root/build/sanitize
make_copy "$copy" 1
read -r -a tests <<<"${SANITIZED_TESTS:-tests/shm tests/rules tests/relay tests/health tests/resolverd/test_repeats.py}"
status=0
LD_PRELOAD=$(gcc -print-file-name=libasan.so) \
ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:log_path=$copy/reports/address \
UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$copy/reports/undefined \
    "$python" -m pytest -p no:cacheprovider "${tests[@]}" "$@" || status=$?
finish "$copy" "$status"

copy=$root/build/sanitize-thread
make_copy "$copy" thread
read -r -a tests <<<"${THREADED_TESTS:-tests/relay/test_places_torture.py tests/relay/test_tracks_interleaved.py tests/shm/test_table_torture.py -k threads}"
status=0
MILLRACE_SANITIZE=thread \
LD_PRELOAD=$(gcc -print-file-name=libtsan.so) \
TSAN_OPTIONS=halt_on_error=0:report_bugs=1:log_path=$copy/reports/thread \
    "$python" -m pytest -p no:cacheprovider "${tests[@]}" || status=$?
finish "$copy" "$status"
