#!/usr/bin/env bash
# Builds a copy of the tree with the address and undefined-behaviour sanitizers, and runs the tests
# of the compiled parts in it: tests/shm and tests/relay, or what SANITIZED_TESTS names. Arguments go
# to pytest.
#
# The copy is build/sanitize, so the tree's own extension modules stay as they are. Every process
# under test writes its reports to build/sanitize/reports; one report fails the run, even when the
# test that caused it passed. Leaks are not looked for here: an interpreter that ends by os._exit
# leaves what it had; the tests of the relay count descriptors and memory instead.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
copy=$root/build/sanitize
python=${PYTHON:-$root/.venv/bin/python}
reports=$copy/reports

mkdir -p "$copy"
for part in shm proxy resolverd tests; do
    mkdir -p "$copy/$part"
    # nothing stale but the extension modules; timestamps are kept, so only changes are compiled
    find "$copy/$part" -type f ! -name '*.so' -delete
    tar -C "$root" --exclude='*.so' --exclude=__pycache__ -cf - "$part" | tar -C "$copy" -xf -
done
cp -p "$root/setup.py" "$root/pyproject.toml" "$copy/"
[ -f "$root/README.md" ] && cp -p "$root/README.md" "$copy/"

cd "$copy"
MILLRACE_SANITIZE=1 "$python" setup.py -q build_ext --inplace

rm -rf "$reports"
mkdir -p "$reports"
address_library=$(gcc -print-file-name=libasan.so)
read -r -a tests <<<"${SANITIZED_TESTS:-tests/shm tests/relay}"

status=0
LD_PRELOAD=$address_library \
ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:log_path=$reports/address \
UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$reports/undefined \
    "$python" -m pytest -p no:cacheprovider "${tests[@]}" "$@" || status=$?

if [ -n "$(ls -A "$reports")" ]; then
    cat "$reports"/*
    exit 1
fi
exit "$status"
