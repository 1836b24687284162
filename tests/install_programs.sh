#!/bin/sh
# Installs the programs that tests and load tests run beside Millrace, from Debian's packages.
# Does nothing where they are all there, where this is not root, or where there is no apt-get.
set -eu

PATH="$PATH:/usr/sbin:/sbin"
missing=""
want() { # program package...
    program="$1"; shift
    command -v "$program" >/dev/null 2>&1 || missing="$missing $*"
}
want haproxy haproxy
want nginx nginx-light libnginx-mod-stream
want wrk wrk
want iperf3 iperf3
want nsd nsd
want unbound unbound
want dnsmasq dnsmasq-base
want named bind9
want promtool prometheus
want halog haproxy
want hatop hatop
want prometheus-haproxy-exporter prometheus-haproxy-exporter
want strace strace
want systemd-analyze systemd
want man man-db
want logrotate logrotate
want rsyslogd rsyslog
want mmdebstrap mmdebstrap
want ip iproute2
want openssl openssl
want curl curl
want mariadbd mariadb-server
[ -n "$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null)" ] || missing="$missing postgresql"
want redis-server redis-server
want slapd slapd
want exim4 exim4-daemon-light
want chromium chromium
want npm npm

# The judge of pages in a browser: from npm, beside what the tests have of PyPI.
axe() {
    [ ! -e .venv/axe/node_modules/axe-core/axe.min.js ] || return 0
    command -v npm >/dev/null 2>&1 || return 0
    echo "installing: axe-core" >&2
    npm install --silent --no-audit --no-fund --no-save --ignore-scripts --prefix .venv/axe \
        axe-core@4.14.1 >/dev/null
}

[ -n "$missing" ] || { axe; exit 0; }
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed here:$missing (the tests that need them will be skipped)" >&2
    exit 0
fi
echo "installing:$missing" >&2

# The packages would start their services: keep them from it, unless the machine has a say already.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
axe
