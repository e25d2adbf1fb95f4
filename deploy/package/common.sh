# shellcheck shell=bash
# Shared by the scripts that package a release. They package a program that is already built, for amd64 or arm64.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# All files have the date of the last commit, so that the same sources produce the same packages.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git -C "${root}" log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH

fail() {
    echo "$*" >&2
    exit 1
}

# need COMMAND PACKAGE...: fails with the command that installs COMMAND if it is missing.
need() {
    local command=$1
    shift
    command -v "${command}" >/dev/null ||
        fail "missing: ${command}. Install it with: apt-get install --no-install-recommends $*"
}

# The version of the sources.
source_version() {
    sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "${root}/Cargo.toml"
}

# architecture BINARY: Debian's name of its architecture. Bytes 18 and 19 of an ELF file identify the machine.
architecture() {
    case "$(od -An -j18 -N2 -tx1 "$1" | tr -d ' ')" in
        3e00) echo amd64 ;;
        b700) echo arm64 ;;
        *) fail "cannot package $1: it is not a program for amd64 or arm64; build it with make static" ;;
    esac
}

# make_pages BINARY DIR: lets the program write its manual pages to DIR/man and its completions to DIR/completions.
make_pages() {
    local program=("$1") dir=$2
    if [[ $(architecture "$1") == arm64 && $(uname -m) != aarch64 ]]; then
        need qemu-aarch64-static qemu-user-static
        program=(qemu-aarch64-static "$1")
    fi
    mkdir -p "${dir}/man" "${dir}"/completions/{bash,zsh,fish}
    "${program[@]}" man "${dir}/man"
    "${program[@]}" completions bash >"${dir}/completions/bash/nym-mixnode"
    "${program[@]}" completions zsh >"${dir}/completions/zsh/_nym-mixnode"
    "${program[@]}" completions fish >"${dir}/completions/fish/nym-mixnode.fish"
}
