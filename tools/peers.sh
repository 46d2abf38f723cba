#!/bin/sh
# What some tests want beside .venv, as a peer that is not ours: Debian's Postfix, a Chromium, Node, Prometheus' promtool.
# Without them these tests are left out and say so. Needs root and apt; where either is missing, or a package cannot be
# had, it says so and changes nothing. No service is started: the tests run programs from configurations of their own.
set -eu

packages=
[ -x /usr/lib/postfix/sbin/master ] || packages="$packages postfix"
[ -x /usr/bin/chromium ] || packages="$packages chromium"
command -v node >/dev/null || packages="$packages nodejs"
command -v promtool >/dev/null || packages="$packages prometheus"
[ -n "$packages" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Not installed:$packages. It takes root, on Debian or Ubuntu; the tests that want them are left out." >&2
    exit 0
fi

# Installing a server must not start one: policy-rc.d is asked before a package starts a service (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update || true
# One by one, so that one that this system does not have keeps no other away.
for package in $packages; do
    apt-get -qq install --yes --no-install-recommends "$package" >/dev/null ||
        echo "Cannot install $package; the tests that want it are left out." >&2
done
