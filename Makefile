# Millrace: everything a newcomer, a developer and CI need. Wants python3 (venv, headers), gcc, make.
#
#   make run       build, install into .venv, start the demo
#   make test      install what the tests need and run them all
#   make test-busy the same on a machine that is busy on purpose
#   make long      the same with the generated tests in full, from new seeds
#   make bench     measure against the peers found on this machine (make bench-quick: short)
#   make lint      ruff and mypy
#   make sanitize  the compiled parts under the address, undefined and thread sanitizers
#   make wheel     a wheel for any Linux with the same Python and a C library as new, into dist/
#   make deb       a Debian package, into dist/
#   make manual    what is made of the table of flags: manual page and completions
#   make clean     remove everything that was built

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
TEST_JOBS ?= 8
COMPILED := $(shell find shm resolverd proxy -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' 2>/dev/null)

.PHONY: run test test-parallel test-quiet test-alone test-busy long bench bench-quick lint sanitize programs build wheel deb manual clean

run: $(VENV)/.built
	$(PY) -m proxy.demo

build: $(VENV)/.built

# The tools that build, in the versions that pyproject.toml allows.
$(VENV)/.tools: pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check 'setuptools>=77' 'Cython>=3.1,<4'
	touch $@

$(VENV)/.built: $(VENV)/.tools setup.py $(COMPILED)
	MILLRACE_PROGRESS=1 $(PY) setup.py -q build_ext --inplace
	$(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		--config-settings editable_mode=compat --editable .
	touch $@

# What pyproject.toml lists beside the dependencies; with the project itself all would be built again.
EXTRAS := $(PY) -c 'import sys, tomllib; known = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print("\n".join(each for name in sys.argv[1:] for each in known["optional-dependencies"][name]))'

$(VENV)/.testing: $(VENV)/.built
	$(EXTRAS) test lint > $@.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r $@.txt
	touch $@

$(VENV)/.loading: $(VENV)/.built
	$(EXTRAS) load > $@.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r $@.txt
	touch $@

# haproxy, nginx, nsd and the like from Debian, when this is root on a Debian machine.
programs:
	sh tests/install_programs.sh

# Each test once. Generated tests take a sample from fixed seeds. Those marked `alone` come first, one
# at a time: what they compile serves all others. Those marked `quiet` mostly wait, and compare when
# something happens: three at a time.
PYTEST := $(PY) -m pytest -q --durations=10
PARALLEL := -n $(TEST_JOBS) --dist worksteal -m 'not alone and not quiet'

test: $(VENV)/.testing programs test-alone test-quiet test-parallel

test-parallel: $(VENV)/.testing
	$(PYTEST) $(PARALLEL)

test-quiet: $(VENV)/.testing
	$(PYTEST) -n 3 --dist worksteal -m quiet

test-alone: $(VENV)/.testing
	$(PYTEST) -m alone

# The same tests while both cores are busy and processes stop at random moments.
test-busy: $(VENV)/.testing programs
	$(PY) tests/busy_machine.py $(PYTEST) $(PARALLEL)
	$(MAKE) test-quiet test-alone

# The generated, tortured and fuzzed tests in full, from new seeds, which are printed at the end.
long: export MILLRACE_LONG = 1
long: PYTEST += --timeout 0 -o faulthandler_timeout=0
long: $(VENV)/.testing programs deb build/bookworm.tar test-alone test-quiet test-parallel

bench: $(VENV)/.loading programs
	$(PY) -m loadtest

bench-quick: $(VENV)/.loading programs
	$(PY) -m loadtest --quick

lint: $(VENV)/.testing
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

sanitize: $(VENV)/.testing programs
	bash tests/run_sanitized.sh

$(VENV)/.packing: $(VENV)/.built
	$(EXTRAS) pack > $@.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r $@.txt
	touch $@

wheel: $(VENV)/.packing
	rm -rf build/wheel dist/*.whl
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/wheel .
	PATH="$(abspath $(VENV))/bin:$$PATH" $(PY) -m auditwheel repair --wheel-dir dist build/wheel/*.whl

deb: wheel
	$(PY) deploy/debian/build.py dist/*.whl dist

# The system in which a test installs the package.
build/bookworm.tar:
	mmdebstrap --quiet --variant=essential --include=python3,passwd bookworm $@

manual: $(VENV)/.built
	$(PY) -m proxy.flags deploy

clean:
	rm -rf $(VENV) build dist results *.egg-info
	find shm resolverd proxy \( -name '*.so' -o -name __pycache__ \) -prune -exec rm -rf {} +
