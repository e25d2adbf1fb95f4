#!/usr/bin/env bash
# keeper.sh DIRECTORY PROGRAMS IMAGE...: a Kubernetes cluster of one node, in namespaces of its own, for as long as
# standard input is open. Whoever holds the other end of it need not be able to clean up, and may as well be killed.
#
# PROGRAMS is a directory with the components, each IMAGE an archive as `docker save` writes it. When the file
# DIRECTORY/ready is there, the cluster is up; DIRECTORY/pki/admin.conf is the way in. DIRECTORY/alone is there once no
# other cluster is.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export KIT_DIR=$1 KIT_PROGRAMS=$2
shift 2
export KIT_IMAGES="$*"
# Ctrl-C goes to everybody in the terminal's group; the end of standard input follows.
trap '' INT TERM

# Addresses of the wire between the tests (.1) and the node (.2).
export NODE=node1 HOST_V4=10.99.0.1 NODE_V4=10.99.0.2 HOST_V6=fd99::1 NODE_V6=fd99::2 WORLD_V4=36.68.241.1 WORLD_V6=2600:1f18:99::1
export PODS_V4=10.244.0.0/16 PODS_V6=fd00:244::/64 SERVICES_V4=10.96.0.0/16 SERVICES_V6=fd00:96::/112
export API_V4=10.96.0.1 DNS_V4=10.96.0.10
# Names of its own, so that what is left of a cluster is told from what others have.
export CGROUP=nym-kit-$$
namespace=nym-kit-$$ wire=nymkit$$

# One cluster at a time: addresses are fixed. The file names the last one.
exec 9<>/run/lock/nym-mixnode-kit-cluster.lock
flock 9

network() {
    ip netns add "${namespace}"
    ip link add "${wire}" type veth peer name eth0 netns "${namespace}"
    ip addr add "${HOST_V4}/24" dev "${wire}"
    ip addr add "${HOST_V6}/64" dev "${wire}" nodad
    # Nodes that announce public addresses send to no others.
    ip addr add "${WORLD_V4}/32" dev "${wire}"
    ip addr add "${WORLD_V6}/128" dev "${wire}" nodad
    ip link set "${wire}" up
    local inside=(ip -n "${namespace}")
    "${inside[@]}" link set lo up
    "${inside[@]}" addr add "${NODE_V4}/24" dev eth0
    "${inside[@]}" addr add "${NODE_V6}/64" dev eth0 nodad
    "${inside[@]}" link set eth0 up
    # An address is looked up in the routes before a Service's is translated, so there has to be a route for each. This
    # one leads nowhere: no packet leaves the machine.
    "${inside[@]}" link add void0 type veth peer name void1
    "${inside[@]}" link set void0 up
    "${inside[@]}" link set void1 up
    "${inside[@]}" route add default dev void0
    "${inside[@]}" -6 route add default dev void0
    "${inside[@]}" route add "${WORLD_V4}" via "${HOST_V4}"
    "${inside[@]}" -6 route add "${WORLD_V6}" via "${HOST_V6}"
    ip route add "${PODS_V4}" via "${NODE_V4}"
    ip route add "${SERVICES_V4}" via "${NODE_V4}"
    ip -6 route add "${PODS_V6}" via "${NODE_V6}"
    ip -6 route add "${SERVICES_V6}" via "${NODE_V6}"
}

# The group that the kubelet makes those of the pods in. Hierarchies that it does not look at are left alone.
control_groups() {
    local hierarchy
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        mkdir "/sys/fs/cgroup/${CGROUP}"
    else
        for hierarchy in /sys/fs/cgroup/*; do
            mkdir -p "${hierarchy}/${CGROUP}"
        done
    fi
}

remove_control_groups() {
    local group
    for group in /sys/fs/cgroup/"$1" /sys/fs/cgroup/*/"$1"; do
        # The processes are gone; their groups follow when the kernel has noticed.
        for _ in {1..50}; do
            [[ -e ${group} ]] || break
            find "${group}" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
        done
    done
}

clean_up() {
    # Whatever fails, the rest is to be taken away, too.
    set +e
    [[ -n ${node:-} ]] && kill -KILL "${node}" 2>/dev/null && wait "${node}" 2>/dev/null
    ip netns del "${namespace}" 2>/dev/null
    ip link del "${wire}" 2>/dev/null
    remove_control_groups "${CGROUP}"
    rm -rf "${KIT_DIR}"
}

# What the last keeper could not take away, because it was killed itself.
stale() {
    local last
    read -r last <&9 || true
    [[ ${last} =~ ^nym-kit-[0-9]+$ ]] || return 0
    ip netns pids "${last}" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
    ip netns del "${last}" 2>/dev/null || true
    ip link del "nymkit${last#nym-kit-}" 2>/dev/null || true
    remove_control_groups "${last}"
}

stale
touch "${KIT_DIR}/alone"
echo "${namespace}" >/run/lock/nym-mixnode-kit-cluster.lock
trap clean_up EXIT
mkdir -p "${KIT_DIR}"/{pki,log,cni}
bash "${here}/pki.sh" "${KIT_DIR}/pki" &
certificates=$!
network
control_groups
wait "${certificates}"
# The first process of a PID namespace takes all the others with it. It does not hold the lock.
nsenter --net="/run/netns/${namespace}" \
    unshare --mount --uts --pid --fork --propagation private --kill-child=KILL \
    bash "${here}/node.sh" </dev/null >"${KIT_DIR}/log/node.log" 2>&1 9>&- &
node=$!
# Ends with standard input, or when the node has ended, which it should not.
while :; do
    kill -0 "${node}" 2>/dev/null || {
        echo "the node of the cluster has ended:" >&2
        tail -n 8 "${KIT_DIR}"/log/* >&2
        break
    }
    status=0
    read -r -t 1 || status=$?
    # 1 is the end, more than 128 that there was nothing to read.
    [[ ${status} -eq 1 ]] && break
done
