# shellcheck shell=bash
# What the scripts of this folder share. Each of them sees to it that one real part is on this machine, builds or
# installs it where it is missing, and prints the path of its program. What they build is kept outside the work tree,
# so that only the first run takes its time.
set -euo pipefail

parts="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${NYM_MIXNODE_KIT_CACHE:-${XDG_CACHE_HOME:-${HOME}/.cache}/nym-mixnode-kit}"
mkdir -p "${cache}/bin"

# A source that the module proxy does not know is not looked for elsewhere.
export GOVCS='*:off' GOFLAGS='-mod=mod -trimpath -buildvcs=false' GOTOOLCHAIN=local CGO_ENABLED=0

fail() {
    echo "$*" >&2
    exit 1
}

# need_command COMMAND INSTALL: the command is there, or the one that installs it is named.
need_command() {
    command -v "$1" >/dev/null || fail "missing: $1. Install it with: $2"
}

# need_packages COMMAND PACKAGE...: installs Debian packages where COMMAND is missing and that is possible unasked.
need_packages() {
    local command=$1
    shift
    command -v "${command}" >/dev/null && return
    if [[ ${EUID} -eq 0 ]] && command -v apt-get >/dev/null; then
        (
            exec 9>"${cache}/apt.lock" && flock 9
            apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
        ) >"${cache}/apt.log" 2>&1 9>&- || true
    fi
    need_command "${command}" "apt-get install --no-install-recommends $*"
}

# once NAME BUILD...: runs BUILD, which makes ${cache}/bin/NAME, unless that is there; prints its path. The name carries
# the version, and two runs at a time wait for each other.
once() {
    local name=$1
    shift
    (
        exec 8>"${cache}/${name}.lock" && flock 8
        [[ -e ${cache}/bin/${name} ]] && exit
        "$@" >"${cache}/${name}.log" 2>&1 8>&- || {
            tail -n 20 "${cache}/${name}.log" >&2
            fail "could not build ${name}; the whole story is in ${cache}/${name}.log"
        }
    )
    echo "${cache}/bin/${name}"
}
