#!/usr/bin/env bash
# The node of the cluster: the first process of its namespaces, started by keeper.sh, starts all the others and adopts
# what they leave behind.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
pki="${KIT_DIR}/pki"
kubectl=("${KIT_PROGRAMS}/kubectl" --kubeconfig="${pki}/admin.conf")

# Nothing that is written here is left behind on the machine.
private_files() {
    mount -t proc proc /proc
    mount --make-rshared /
    mkdir -p /var/lib/cni
    local place
    for place in /run /var/log /var/lib/cni; do
        mount -t tmpfs tmpfs "${place}"
    done
    mkdir -p /run/containerd /run/netns /run/lock
    printf 'nameserver %s\noptions timeout:1 attempts:1\n' "${DNS_V4}" >"${KIT_DIR}/resolv.conf"
    printf '127.0.0.1 localhost\n%s %s\n' "${NODE_V4}" "${NODE}" >"${KIT_DIR}/hosts"
    mount --bind "${KIT_DIR}/resolv.conf" /etc/resolv.conf
    mount --bind "${KIT_DIR}/hosts" /etc/hosts
    hostname "${NODE}"
}

# The kubelet wants these values, and would set them for the whole machine: it is shown files that hold them already.
kernel_settings() {
    local name value file
    while read -r name value; do
        file="${KIT_DIR}/${name//\//-}"
        echo "${value}" >"${file}"
        mount --bind "${file}" "/proc/sys/${name}"
    done <<EOF
kernel/panic 10
kernel/panic_on_oops 1
vm/overcommit_memory 1
EOF
    # These belong to the network namespace.
    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1 || true
}

# start NAME COMMAND...: in the background, with a log of its own.
start() {
    local name=$1
    shift
    "$@" >"${KIT_DIR}/log/${name}.log" 2>&1 &
}

configurations() {
    local file
    for file in containerd.toml cni.conflist kubelet.json kube-proxy.json Corefile; do
        filled_in <"${here}/${file}" >"${KIT_DIR}/${file}"
    done
    mv "${KIT_DIR}/cni.conflist" "${KIT_DIR}/cni/10-kit.conflist"
}

# Puts the values into a template: @dir@ and the like.
filled_in() {
    sed -e "s|@dir@|${KIT_DIR}|g" -e "s|@node@|${NODE}|g" -e "s|@pods_v4@|${PODS_V4}|g" -e "s|@pods_v6@|${PODS_V6}|g" \
        -e "s|@dns@|${DNS_V4}|g" -e "s|@cgroup@|${CGROUP}|g"
}

control_plane() {
    start etcd "${KIT_PROGRAMS}/etcd" --data-dir "${KIT_DIR}/etcd" --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
    start kube-apiserver "${KIT_PROGRAMS}/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
        --advertise-address="${NODE_V4}" --service-cluster-ip-range="${SERVICES_V4},${SERVICES_V6}" \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
        --kubelet-preferred-address-types=InternalIP --client-ca-file="${pki}/ca.crt" \
        --tls-cert-file="${pki}/apiserver.crt" --tls-private-key-file="${pki}/apiserver.key" \
        --kubelet-client-certificate="${pki}/apiserver-kubelet-client.crt" \
        --kubelet-client-key="${pki}/apiserver-kubelet-client.key" --kubelet-certificate-authority="${pki}/ca.crt" \
        --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="${pki}/sa.pub" \
        --service-account-signing-key-file="${pki}/sa.key" --requestheader-client-ca-file="${pki}/ca.crt" \
        --requestheader-allowed-names=front-proxy --requestheader-username-headers=X-Remote-User \
        --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --proxy-client-cert-file="${pki}/front-proxy.crt" --proxy-client-key-file="${pki}/front-proxy.key"
    until "${kubectl[@]}" get --raw=/readyz >/dev/null 2>&1; do sleep 0.3; done
    local component
    for component in kube-controller-manager kube-scheduler; do
        local flags=(--leader-elect=false --bind-address=127.0.0.1 --kubeconfig="${pki}/${component}.conf"
            --authentication-kubeconfig="${pki}/${component}.conf"
            --authorization-kubeconfig="${pki}/${component}.conf")
        [[ ${component} == kube-controller-manager ]] && flags+=(--use-service-account-credentials
            --service-account-private-key-file="${pki}/sa.key" --root-ca-file="${pki}/ca.crt"
            --cluster-signing-cert-file="${pki}/ca.crt" --cluster-signing-key-file="${pki}/ca.key")
        start "${component}" "${KIT_PROGRAMS}/${component}" "${flags[@]}"
    done
}

node_services() {
    local image
    until ctr -a "${KIT_DIR}/containerd.sock" version >/dev/null 2>&1; do sleep 0.2; done
    for image in ${KIT_IMAGES}; do
        ctr -a "${KIT_DIR}/containerd.sock" -n k8s.io images import "${image}"
    done
    # "external": the addresses of the Node come from a cloud, whose part the tests play.
    start kubelet "${KIT_PROGRAMS}/kubelet" --config="${KIT_DIR}/kubelet.json" --kubeconfig="${pki}/kubelet.conf" \
        --hostname-override="${NODE}" --node-ip="${NODE_V4},${NODE_V6}" --root-dir="${KIT_DIR}/kubelet" \
        --cert-dir="${pki}" --cloud-provider=external
    start kube-proxy "${KIT_PROGRAMS}/kube-proxy" --config="${KIT_DIR}/kube-proxy.json"
    start coredns "${KIT_PROGRAMS}/coredns" -conf "${KIT_DIR}/Corefile"
}

# What a cloud's controller does for a new Node.
cloud_controller() {
    until "${kubectl[@]}" get node "${NODE}" >/dev/null 2>&1; do sleep 0.3; done
    "${kubectl[@]}" patch node "${NODE}" --subresource=status --type=merge -p "{\"status\": {\"addresses\": [
        {\"type\": \"InternalIP\", \"address\": \"${NODE_V4}\"},
        {\"type\": \"InternalIP\", \"address\": \"${NODE_V6}\"},
        {\"type\": \"Hostname\", \"address\": \"${NODE}\"}]}}"
    "${kubectl[@]}" taint node "${NODE}" node.cloudprovider.kubernetes.io/uninitialized-
}

# Storage that is given out to whoever asks first.
volumes() {
    local number
    for number in {1..60}; do
        mkdir -p "${KIT_DIR}/volumes/${number}"
        sed -e "s|@number@|${number}|" -e "s|@dir@|${KIT_DIR}|" -e "s|@node@|${NODE}|" "${here}/volume.yaml"
    done >"${KIT_DIR}/volumes.yaml"
    "${kubectl[@]}" create -f "${KIT_DIR}/volumes.yaml"
}

# The limit that containers inherit, the same on every machine; lower where it cannot be as high.
[[ $(ulimit -Hn) == unlimited || $(ulimit -Hn) -gt 20000 ]] && ulimit -n 20000
private_files
kernel_settings
configurations
start containerd containerd -c "${KIT_DIR}/containerd.toml"
control_plane
node_services
sed "s|@node_v4@|${NODE_V4}|; s|@dns@|${DNS_V4}|" "${here}/cluster.yaml" | "${kubectl[@]}" create -f -
cloud_controller
volumes
until "${kubectl[@]}" wait --for=condition=Ready "node/${NODE}" --timeout=60s >/dev/null 2>&1 &&
    "${kubectl[@]}" -n default get serviceaccount default >/dev/null 2>&1; do sleep 0.3; done
echo "ready after ${SECONDS} s"
touch "${KIT_DIR}/ready"
while :; do
    wait -n || true
    sleep 1
done
