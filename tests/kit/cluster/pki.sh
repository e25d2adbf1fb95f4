#!/usr/bin/env bash
# pki.sh DIRECTORY: the cluster's certificate authority, its certificates, and a kubeconfig for each client of the API.
set -euo pipefail
cd "$1"

key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}

# certificate NAME SUBJECT [NAMES]: signed by the authority, for both ends of a connection.
certificate() {
    local extensions="keyUsage=digitalSignature
extendedKeyUsage=serverAuth,clientAuth
${3:+subjectAltName=$3}"
    key "$1"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" \
        -extfile <(echo "${extensions}") 2>/dev/null
}

# client NAME SUBJECT: a certificate, and a kubeconfig with it.
client() {
    certificate "$1" "$2"
    cat >"$1.conf" <<EOF
apiVersion: v1
kind: Config
clusters: [{name: kit, cluster: {server: "https://${NODE_V4}:6443", certificate-authority: ${PWD}/ca.crt}}]
users: [{name: $1, user: {client-certificate: ${PWD}/$1.crt, client-key: ${PWD}/$1.key}}]
contexts: [{name: kit, context: {cluster: kit, user: $1}}]
current-context: kit
EOF
}

key ca
openssl req -x509 -new -key ca.key -subj /CN=kit -days 30 -out ca.crt
certificate apiserver /CN=kube-apiserver \
    "DNS:kubernetes.default.svc,IP:127.0.0.1,IP:${API_V4},IP:${NODE_V4},IP:${NODE_V6}"
certificate kubelet-server "/CN=${NODE}" "DNS:${NODE},IP:${NODE_V4},IP:${NODE_V6}"
certificate apiserver-kubelet-client /O=system:masters/CN=apiserver-kubelet-client
certificate front-proxy /CN=front-proxy
client admin /O=system:masters/CN=admin
client kube-controller-manager /CN=system:kube-controller-manager
client kube-scheduler /CN=system:kube-scheduler
client kube-proxy /CN=system:kube-proxy
client kubelet "/O=system:nodes/CN=system:node:${NODE}"
openssl genrsa -out sa.key 2048
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
