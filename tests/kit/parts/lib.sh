# shellcheck shell=bash
# What the scripts of this folder share. Each of them sees to it that one real part is on this machine, builds or
# installs it where it is missing, and prints the path of its program. What they build is kept outside the work tree,
# so that only the first run takes its time.
set -euo pipefail

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

# debian_server PROGRAM PACKAGE: a program of a Debian package that brings a service along. The service is stopped and
# stays off: tests start processes of their own.
debian_server() {
    local program=$1 package=$2
    if ! command -v "${program}" >/dev/null; then
        need_packages "${program}" "${package}"
        {
            systemctl disable --now "${package}" || true
            service "${package}" stop || true
        } >/dev/null 2>&1
    fi
    command -v "${program}"
}

# once NAME BUILD...: runs BUILD, which makes ${cache}/bin/NAME, unless that is there; prints its path. The name carries
# the version, and two runs at a time wait for each other.
once() {
    local name=$1
    shift
    (
        exec 8>"${cache}/${name}.lock" && flock 8
        [[ -e ${cache}/bin/${name} ]] && exit
        # Bash would not stop at a failing step of what stands in front of `||`.
        set +e
        (
            set -e
            "$@"
        ) >"${cache}/${name}.log" 2>&1 8>&-
        [[ $? -eq 0 && -e ${cache}/bin/${name} ]] || {
            tail -n 20 "${cache}/${name}.log" >&2
            fail "could not build ${name}; the whole story is in ${cache}/${name}.log"
        }
    )
    echo "${cache}/bin/${name}"
}

# python_program NAME PROGRAM REQUIREMENT...: a program of the Python package index, in an environment of its own; NAME
# carries the version, PROGRAM may begin with the package's directory.
python_program() {
    local name=$1 program=$2 environment="${cache}/python/$1"
    shift 2
    need_packages python3 python3 python3-venv
    once "${name}" make_python_program "${environment}" "${program}" "${cache}/bin/${name}" "$@"
}

make_python_program() {
    local environment=$1 program=$2 link=$3
    shift 3
    rm -rf "${environment}"
    python3 -m venv "${environment}"
    "${environment}/bin/pip" install --quiet --disable-pip-version-check --no-input "$@"
    local path
    path="$(find "${environment}/bin/${program}" "${environment}"/lib/python3*/site-packages/"${program}" 2>/dev/null | head -n 1)"
    chmod +x "${path}"
    ln -sfn "${path}" "${link}"
}

# go_program NAME PACKAGE@VERSION [BUILD FLAG...]: a program from the Go module proxy; NAME carries the version.
go_program() {
    local name=$1 package=$2
    shift 2
    need_command go "apt-get install golang-go (1.26 or later)"
    once "${name}" make_go_program "${cache}/bin/${name}" "${package}" "$@"
}

make_go_program() {
    local path=$1 package=$2 made
    made="${cache}/go/$(basename "$1")"
    shift 2
    mkdir -p "${made}"
    GOBIN="${made}" GOFLAGS='-trimpath -buildvcs=false' go install "$@" "${package}"
    mv "${made}"/* "${path}"
}

# go_module_program NAME MODULE@VERSION PACKAGE [BUILD FLAG...]: a program whose module `go install` refuses, because it
# replaces or excludes others: built inside a copy of its source. PACKAGE is relative to the module, as ./cmd.
go_module_program() {
    local name=$1
    need_command go "apt-get install golang-go (1.26 or later)"
    shift
    once "${name}" make_go_module_program "${cache}/bin/${name}" "$@"
}

make_go_module_program() {
    local path=$1 module=$2 package=$3 source
    source="${cache}/go/$(basename "$1").src"
    shift 3
    rm -rf "${source}"
    mkdir -p "${cache}/go"
    cp -r "$(go mod download -json "${module}" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')" "${source}"
    chmod -R u+w "${source}"
    (cd "${source}" && go build "$@" -o "${path}.new" "${package}")
    mv "${path}.new" "${path}"
    rm -rf "${source}"
}
