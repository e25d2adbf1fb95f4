# shellcheck shell=bash
# What the scripts of this folder share. Each of them sees to it that one real part is on this machine, builds it
# where it is missing, or names the command that installs it, and prints the path of its program. What they build is kept outside the work tree,
# so that only the first run takes its time.
set -euo pipefail

cache="${NYM_MIXNODE_KIT_CACHE:-${XDG_CACHE_HOME:-${HOME}/.cache}/nym-mixnode-kit}"
mkdir -p "${cache}/bin"
parts="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# A source that the module proxy does not know is not looked for elsewhere.
export GOVCS='*:off' GOFLAGS='-mod=mod -trimpath -buildvcs=false' GOTOOLCHAIN=local CGO_ENABLED=0

fail() {
    echo "$*" >&2
    exit 1
}

# need COMMAND...: they are on this machine, or what installs them is named. Nothing is installed unasked.
need() {
    "${parts}/../packages" check "$@"
}

need_go() {
    local version
    version="$(go env GOVERSION 2>/dev/null)" && [[ $(printf '%s\n' go1.26 "${version}" | sort -V) == go1.26* ]] ||
        fail "missing: Go 1.26 or later. Install it from https://go.dev/dl"
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
            set -eE
            trap 'echo "exit status $? of: ${BASH_COMMAND}" >&2' ERR
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
    need python3
    once "${name}" make_python_program "${environment}" "${program}" "${cache}/bin/${name}" "$@"
}

make_python_program() {
    local environment=$1 program=$2 link=$3
    shift 3
    rm -rf "${environment}"
    python3 -m venv "${environment}"
    "${environment}/bin/pip" install --quiet --disable-pip-version-check --no-input "$@"
    local path
    for path in "${environment}/bin/${program}" "${environment}"/lib/python3*/site-packages/"${program}"; do
        [[ ! -f ${path} ]] || break
    done
    chmod +x "${path}"
    ln -sfn "${path}" "${link}"
}

# debian_root RELEASE FOLDER PACKAGE...: the root of a Debian with these packages. debootstrap makes the minimum alone: it
# configures what it is given beyond that in an order of its own, which fails with some versions of some packages.
debian_root() {
    local release=$1 made=$2 mirror
    shift 2
    rm -rf "${made}"
    mirror="$(apt-cache policy | awk '$3 ~ /^(bookworm|trixie)\/main$/ { mirror = $2 } END { print mirror }')"
    debootstrap --variant=minbase "${release}" "${made}" ${mirror:+"${mirror}"}
    install_in_root "${made}" "$@"
}

# ubuntu_root FOLDER PACKAGE...: the root of an Ubuntu 24.04 with its updates and these packages.
ubuntu_root() {
    local made=$1 keyring="$1.keyring" mirror pocket
    shift
    rm -rf "${made}" "${keyring}"
    mkdir -p "${keyring}"
    mirror="$(ubuntu_mirror)"
    # Debian has no package of Ubuntu's keys. The digest identifies Ubuntu's.
    curl --fail --silent --show-error --retry 3 --output "${keyring}/keyring.deb" \
        "${mirror}/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
    sha256sum --check --quiet <<END
36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8  ${keyring}/keyring.deb
END
    dpkg-deb --extract "${keyring}/keyring.deb" "${keyring}"
    debootstrap --variant=minbase --keyring="${keyring}/usr/share/keyrings/ubuntu-archive-keyring.gpg" \
        noble "${made}" "${mirror}" "${ubuntu_script}"
    rm -rf "${keyring}"
    for pocket in noble noble-updates noble-security; do
        echo "deb ${mirror} ${pocket} main universe"
    done >"${made}/etc/apt/sources.list"
    install_in_root "${made}" "$@"
}

# debootstrap has one script for all releases of Ubuntu, and Debian's lacks the names of the newest.
ubuntu_script=/usr/share/debootstrap/scripts/gutsy

# The mirror of Ubuntu that debootstrap uses, unless NYM_MIXNODE_KIT_UBUNTU names another.
ubuntu_mirror() {
    if [[ -n ${NYM_MIXNODE_KIT_UBUNTU:-} ]]; then
        echo "${NYM_MIXNODE_KIT_UBUNTU}"
        return
    fi
    (
        # shellcheck disable=SC2329
        default_mirror() { echo "$1" && exit; }
        # The script reads these, and names the mirror first.
        # shellcheck disable=SC2034
        SUITE=noble ARCH="$(dpkg --print-architecture)"
        # shellcheck source=/dev/null
        source "${ubuntu_script}"
    )
}

# install_in_root FOLDER PACKAGE...: installs these packages in the root of a Debian or Ubuntu.
install_in_root() {
    local made=$1
    shift
    # Packages come the way that this machine's come.
    apt-config dump Acquire | sed '/^Acquire::IndexTargets/d' >"${made}/etc/apt/apt.conf.d/90kit"
    cp /etc/resolv.conf "${made}/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"${made}/usr/sbin/policy-rc.d"
    chmod +x "${made}/usr/sbin/policy-rc.d"
    in_root "${made}" apt-get update -o Acquire::Retries=3 -o Acquire::Languages=none
    in_root "${made}" apt-get install -y --no-install-recommends -o Acquire::Retries=3 "$@"
}

# finish_debian_root FOLDER: takes away what only its making needed.
finish_debian_root() {
    in_root "$1" apt-get clean
    rm -rf "$1"/var/lib/apt/lists/*
    rm -f "$1/usr/sbin/policy-rc.d" "$1/etc/apt/apt.conf.d/90kit"
}

# in_root FOLDER COMMAND...: runs COMMAND with FOLDER as its root; what it starts ends with it.
in_root() {
    local root=$1
    shift
    # shellcheck disable=SC2016 # Expanded by the inner shell.
    unshare --mount --pid --fork --kill-child sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "${root}" \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
}

# go_program NAME PACKAGE@VERSION [BUILD FLAG...]: a program from the Go module proxy; NAME carries the version.
go_program() {
    local name=$1 package=$2
    shift 2
    need_go
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
    need_go
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
