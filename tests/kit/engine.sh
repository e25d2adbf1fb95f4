#!/usr/bin/env bash
# Runs a Docker engine until no test of the kit wants it any more: `engine.sh DOCKERD FOLDER`. FOLDER keeps its images
# and build caches for the next time, and has its socket, docker.sock; its log, log; and its process id, pid.
#
# The engine has network, mount and process namespaces of its own. So it leaves nothing behind on the machine, no rule of
# the firewall, no interface, no forwarding, and lives beside another engine. Every user of it holds a shared lock on
# FOLDER/users, which the kernel takes from those that die.
set -euo pipefail

if [[ $1 != inside ]]; then
    exec unshare --net --mount --pid --fork --kill-child "$0" inside "$@"
fi
dockerd=$2 folder=$3

# /proc is still that of the namespace outside.
read -r pid _ </proc/self/stat
mount -t proc proc /proc
# Sockets and state of another engine stay out of sight.
mount -t tmpfs tmpfs /run
ip link set lo up
rm -f "${folder}/docker.sock"
echo '{"builder": {"gc": {"enabled": true, "defaultKeepStorage": "12GB"}}}' >"${folder}/config.json"
"${dockerd}" --config-file "${folder}/config.json" --data-root "${folder}/data" --exec-root /run/docker \
    --pidfile /run/docker.pid -H "unix://${folder}/docker.sock" </dev/null >"${folder}/log" 2>&1 &
engine=$!
echo "${pid}" >"${folder}/pid"
(
    flock --exclusive 9
    # New users wait for the lock until this engine is gone.
    kill "${engine}"
    while kill -0 "${engine}" 2>/dev/null; do sleep 0.1; done
) 9>"${folder}/users" &
wait "${engine}" || true
