# shellcheck shell=bash
# How the programs of this module are built. Both take the same versions of what they share and the same flags, so that
# the second build finds most of its packages made.

kubernetes_version=1.37.2

# kubernetes_program NAME PACKAGE: builds PACKAGE of the module, unless ${cache}/bin/NAME is there; prints its path.
kubernetes_program() {
    need_go
    once "$1" make_kubernetes_program "${cache:?}/bin/$1" "$2"
}

# Without optimising the compiler takes two thirds of the time; the cluster starts as fast.
make_kubernetes_program() {
    local flags='-s -w' package
    for package in k8s.io/client-go/pkg/version k8s.io/component-base/version; do
        flags+=" -X ${package}.gitVersion=v${kubernetes_version} -X ${package}.gitTreeState=clean"
        flags+=" -X ${package}.gitMajor=1 -X ${package}.gitMinor=37 -X ${package}.buildDate=2026-01-01T00:00:00Z"
    done
    cd "$(dirname "${BASH_SOURCE[0]}")" || return
    GOFLAGS='-mod=readonly -trimpath -buildvcs=false' \
        go build -gcflags='all=-N -l -dwarf=false' -ldflags "${flags}" -o "$1.new" "$2" &&
        mv "$1.new" "$1"
}
