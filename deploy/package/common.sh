# shellcheck shell=bash
# What the scripts that pack a release share. They pack a program that is built already, for amd64 or arm64.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# Everything is dated as its last commit, so that the same sources make the same packages.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git -C "${root}" log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH

fail() {
    echo "$*" >&2
    exit 1
}

# need COMMAND PACKAGE...: the command is there, or the one that installs it is named.
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

# architecture BINARY: Debian's name for it. The bytes 18 and 19 of a program are the number of its machine.
architecture() {
    case "$(od -An -j18 -N2 -tx1 "$1" | tr -d ' ')" in
        3e00) echo amd64 ;;
        b700) echo arm64 ;;
        *) fail "$1 is no program for amd64 or arm64" ;;
    esac
}

# make_pages BINARY DIR: the manual pages and completions, which the program writes itself: DIR/man and DIR/completions.
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
