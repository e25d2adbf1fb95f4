{{/*
Checks that a schema cannot express. Each message names the value and the fix. `lookup` returns nothing in
`helm template`, so checks against the cluster pass there.
*/}}
{{- define "nym-mixnode.check" -}}
{{- include "nym-mixnode.checkName" . }}
{{- include "nym-mixnode.checkImages" . }}
{{- include "nym-mixnode.checkDirectory" . }}
{{- include "nym-mixnode.checkRegistryStore" . }}
{{- include "nym-mixnode.checkExplorer" . }}
{{- include "nym-mixnode.checkMetrics" . }}
{{- include "nym-mixnode.checkLabels" . }}
{{- include "nym-mixnode.checkSameName" . }}
{{- range .Roles }}
{{- include "nym-mixnode.checkPorts" . }}
{{- include "nym-mixnode.checkUpgrade" . }}
{{- include "nym-mixnode.checkKeys" . }}
{{- end }}
{{- include "nym-mixnode.checkGateways" . }}
{{- include "nym-mixnode.checkRegistry" . }}
{{- include "nym-mixnode.checkBackup" . }}
{{- end }}

{{/* Names of Services are DNS labels that begin with a letter (RFC 1035); names of releases need not be. */}}
{{- define "nym-mixnode.checkName" -}}
{{- $fullname := include "nym-mixnode.fullname" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) }}
{{- fail (printf "release name %s: its Services would be named %s, but names of Services begin with a letter and contain lowercase letters, digits and hyphens only: choose another name for the release, or set fullnameOverride" .Release.Name $fullname) }}
{{- end }}
{{- end }}

{{/* There is no default, because others could own an image of that name. */}}
{{- define "nym-mixnode.checkImages" -}}
{{- $images := dict "image" .Values.image }}
{{- if .Values.collector.enabled }}
{{- $_ := set $images "collector.image" .Values.collector.image }}
{{- end }}
{{- range $value, $image := $images }}
{{- $repository := $image.repository }}
{{- if contains "://" $repository }}
{{- fail (printf "%s.repository is %s: a name of an image has no scheme; set %s.repository=%s" $value $repository $value (regexReplaceAll "^[a-z]+://" $repository "")) }}
{{- end }}
{{- if contains "@" $repository }}
{{- $parts := splitList "@" $repository }}
{{- fail (printf "%s.repository is %s, with a digest: set %s.repository=%s and %s.digest=%s" $value $repository $value (first $parts) $value (last $parts)) }}
{{- end }}
{{- $path := splitList "/" $repository }}
{{- if contains ":" (last $path) }}
{{- $parts := splitList ":" $repository }}
{{- fail (printf "%s.repository is %s, with a tag: set %s.repository=%s and --set-string %s.tag=%s" $value $repository $value (initial $parts | join ":") $value (last $parts)) }}
{{- end }}
{{- if ne $repository (lower $repository) }}
{{- fail (printf "%s.repository is %s: names of images have no uppercase letters; set %s.repository=%s" $value $repository $value (lower $repository)) }}
{{- end }}
{{- end }}
{{- if not .Values.image.repository }}
{{- fail "image.repository is missing: build the image (docker build -t REGISTRY/nym-mixnode:TAG .), push it to a registry that the cluster pulls from, and set image.repository=REGISTRY/nym-mixnode and image.tag=TAG" }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkDirectory" -}}
{{- if and .Values.registry.enabled .Values.directory.url }}
{{- fail "directory.url and registry.enabled exclude each other: leave directory.url empty to use the registry of the release, or set registry.enabled=false" }}
{{- end }}
{{- if not (or .Values.registry.enabled .Values.directory.url) }}
{{- fail "directory.url is missing: set it to the URL of the registry (--set directory.url=https://…), or run your own network with --set registry.enabled=true" }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkRegistryStore" -}}
{{- $registry := .Values.registry }}
{{- $ns := .Release.Namespace }}
{{- if $registry.enabled }}
{{- $database := $registry.database.existingSecret }}
{{- $token := $registry.token.existingSecret }}
{{- if and (gt (int $registry.replicas) 1) (not $database) }}
{{- fail (printf "registry.replicas is %v, but without a database the store is a file, which one registry alone can use: set registry.database.existingSecret to a Secret with the URL of a PostgreSQL database, or registry.replicas=1" $registry.replicas) }}
{{- end }}
{{- if and (gt (int $registry.replicas) 1) (not $token) }}
{{- fail (printf "registry.token.existingSecret is missing: registry.replicas is %v, and all registries need the same token: create a Secret (kubectl -n %s create secret generic registry-token --from-literal=monitor.token=$(openssl rand -hex 32)) and set registry.token.existingSecret=registry-token" $registry.replicas $ns) }}
{{- end }}
{{- with $database }}
{{- $key := $registry.database.key }}
{{- include "nym-mixnode.checkSecret" (list $ "registry.database.existingSecret" . (list $key) (printf "with kubectl -n %s create secret generic %s --from-file=%s=FILE, where FILE contains the URL of the database; registry.database.key names another key" $ns . $key)) }}
{{- end }}
{{- with $registry.tls.existingSecret }}
{{- include "nym-mixnode.checkSecret" (list $ "registry.tls.existingSecret" . (list "tls.crt" "tls.key" "ca.crt") (printf "with kubectl -n %s create secret generic %s --from-file=… for each of tls.crt, tls.key and ca.crt, or by a Certificate of cert-manager" $ns .)) }}
{{- end }}
{{- with $token }}
{{- include "nym-mixnode.checkSecret" (list $ "registry.token.existingSecret" . (list "monitor.token") (printf "with kubectl -n %s create secret generic %s --from-literal=monitor.token=$(openssl rand -hex 32)" $ns .)) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkExplorer" -}}
{{- $registry := .Values.registry }}
{{- range $value := list "ingress" "httpRoute" }}
{{- $proxy := get $registry $value }}
{{- if and $proxy.enabled (not $registry.enabled) }}
{{- fail (printf "registry.%s.enabled: this release has no registry: set registry.enabled=true, or registry.%s.enabled=false" $value $value) }}
{{- end }}
{{- if and $proxy.enabled (not $proxy.host) }}
{{- fail (printf "registry.%s.host is missing: set it to the host name at which clients and browsers reach the registry" $value) }}
{{- end }}
{{- end }}
{{- if and $registry.httpRoute.enabled (not $registry.httpRoute.parentRefs) }}
{{- fail "registry.httpRoute.parentRefs is missing: name the Gateway of the route, such as [{name: public, namespace: gateways}]" }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkPorts" -}}
{{- $network := .Values.network }}
{{- $last := include "nym-mixnode.lastNodePort" . }}
{{- if and (eq $network.mode "nodePort") (gt (int $last) 32767) }}
{{- fail (printf "%s.nodePort.first is too high: with %s %v the last node would have port %v, and the highest node port is 32767; choose a lower first port" (include "nym-mixnode.networkPath" .) (include "nym-mixnode.replicasPath" .) .Values.replicaCount $last) }}
{{- end }}
{{- if and (eq $network.mode "hostNetwork") (eq (int $network.port) (int $network.hostNetwork.httpPort)) }}
{{- $path := include "nym-mixnode.networkPath" . }}
{{- fail (printf "%s.port and %s.hostNetwork.httpPort are both %v: on the host's network packets and status requests need different ports; change one of them" $path $path $network.port) }}
{{- end }}
{{- end }}

{{/* Names of the values of a role in messages. */}}
{{- define "nym-mixnode.networkPath" -}}
{{- ternary "gateway" "network" (eq .Component "gateway") }}
{{- end }}

{{- define "nym-mixnode.replicasPath" -}}
{{- ternary "gateway.replicas" "replicaCount" (eq .Component "gateway") }}
{{- end }}

{{- define "nym-mixnode.checkGateways" -}}
{{- if .Values.gateway.enabled }}
{{- $gateway := .Values.gateway }}
{{- $gateways := last .Roles }}
{{- range $value, $url := dict "gateway.announceUrl" $gateway.announceUrl "gateway.tls.announceUrl" $gateway.tls.announceUrl }}
{{- if and (gt (int $gateway.replicas) 1) $url (not (contains "$(ordinal)" $url)) }}
{{- fail (printf "%s is %s for all %v gateways, but each has its own clients: put $(ordinal), the number of the gateway, in the URL, such as ws://gateway-$(ordinal).example:9000, or set gateway.replicas=1" $value $url $gateway.replicas) }}
{{- end }}
{{- end }}
{{- $http := include "nym-mixnode.httpPort" $gateways }}
{{- $taken := dict (toString $gateway.port) "gateway.port" (toString $http) "the port of status requests" }}
{{- $clients := dict "gateway.clientsPort" $gateway.clientsPort }}
{{- if $gateway.tls.enabled }}
{{- $_ := set $clients "gateway.tls.port" $gateway.tls.port }}
{{- end }}
{{- range $value, $port := $clients }}
{{- with get $taken (toString $port) }}
{{- fail (printf "%s and %s are both %v: change one of them" $value . $port) }}
{{- end }}
{{- $_ := set $taken (toString $port) $value }}
{{- end }}
{{- with include "nym-mixnode.clientsCertificate" $gateways }}
{{- include "nym-mixnode.checkSecret" (list $ "gateway.tls.existingSecret" . (list "tls.crt" "tls.key") (printf "with kubectl -n %s create secret tls %s --cert=… --key=…, or by a Certificate of cert-manager" $.Release.Namespace .)) }}
{{- end }}
{{- range include "nym-mixnode.clientsPorts" $gateways | fromJsonArray }}
{{- $url := replace "$(ordinal)" "0" .url }}
{{- if gt (len $url) 128 }}
{{- fail (printf "gateway.announceUrl: the URL for clients %s has %d characters, and 128 are allowed: set gateway.announceUrl to a shorter one, or choose a shorter name for the release" $url (len $url)) }}
{{- end }}
{{- end }}
{{- $first := int .Values.network.nodePort.first }}
{{- $ofMixnodes := list $first (include "nym-mixnode.lastNodePort" . | int) }}
{{- $ofGateways := list (int $gateway.nodePort.first) (include "nym-mixnode.lastNodePort" $gateways | int) }}
{{- if and (eq .Values.network.mode "nodePort") (le (first $ofMixnodes) (last $ofGateways)) (le (first $ofGateways) (last $ofMixnodes)) }}
{{- fail (printf "gateway.nodePort.first: the ports %v to %v of the gateways overlap with the ports %v to %v of the mixnodes: choose another first port" (first $ofGateways) (last $ofGateways) (first $ofMixnodes) (last $ofMixnodes)) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkMetrics" -}}
{{- $metrics := .Values.metrics }}
{{- if and $metrics.serviceMonitor.enabled $metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor.enabled and metrics.podMonitor.enabled exclude each other: Prometheus would scrape each node twice; set one of them to false" }}
{{- end }}
{{- range $kind := list "serviceMonitor" "podMonitor" }}
{{- if and (get $metrics $kind).enabled (eq $.Values.network.mode "hostNetwork") (not $.Values.collector.enabled) }}
{{- fail (printf "metrics.%s.enabled: on the host's network the metrics of the nodes are on the machine's loopback interface, where Prometheus cannot reach them; set collector.enabled=true, so that it reads them from the collector" $kind) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Selectors and Helm identify the objects of the release by these labels and annotations. */}}
{{- define "nym-mixnode.checkLabels" -}}
{{- $own := list "helm.sh/chart" "checksum/config" "statefulset.kubernetes.io/pod-name" }}
{{- range $key := list "name" "instance" "component" "part-of" "version" "managed-by" }}
{{- $own = append $own (printf "app.kubernetes.io/%s" $key) }}
{{- end }}
{{- $given := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "podAnnotations" .Values.podAnnotations }}
{{- range $kind, $values := .Values.metrics }}
{{- $_ := set $given (printf "metrics.%s.labels" $kind) $values.labels }}
{{- end }}
{{- range $value, $keys := $given }}
{{- range $key := $own }}
{{- if hasKey $keys $key }}
{{- fail (printf "%s: %s is reserved for the chart: remove it, or choose another name" $value $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkKeys" -}}
{{- $name := .Values.keys.existingSecret }}
{{- $ns := .Release.Namespace }}
{{- if $name }}
{{- $each := contains "$(ordinal)" $name }}
{{- if and (gt (int .Values.replicaCount) 1) (not $each) }}
{{- $value := printf "%skeys.existingSecret" .ValuesPath }}
{{- fail (printf "%s contains one identity, but %s is %v: several nodes with the same identity lose packets; name one Secret per node with $(ordinal), such as %s-$(ordinal), or leave %s empty" $value (include "nym-mixnode.replicasPath" .) .Values.replicaCount $name $value) }}
{{- end }}
{{- $files := list "private_identity.pem" "public_identity.pem" "private_sphinx.pem" "public_sphinx.pem" }}
{{- range $number := ternary (until (int .Values.replicaCount)) (list 0) $each }}
{{- $secret := include "nym-mixnode.keySecret" (list $ $number) }}
{{- $remedy := printf "in the data directory of a node with kubectl -n %s create secret generic %s --from-file=… for each of the four key files" $ns $secret }}
{{- include "nym-mixnode.checkSecret" (list $ (printf "%skeys.existingSecret" $.ValuesPath) $secret $files $remedy) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkBackup" -}}
{{- $ns := .Release.Namespace }}
{{- if .Values.backup.enabled }}
{{- $onVolumes := false }}
{{- range .Roles }}
{{- $onVolumes = or $onVolumes (not .Values.keys.existingSecret) }}
{{- if include "nym-mixnode.ownVolume" . }}
{{- if eq .Values.persistence.accessMode "ReadWriteOncePod" }}
{{- fail (printf "backup.enabled: %spersistence.accessMode is ReadWriteOncePod, so no second pod can read the volume: use snapshots of the volumes, or %spersistence.accessMode=ReadWriteOnce in a new release" .ValuesPath .ValuesPath) }}
{{- end }}
{{- end }}
{{- end }}
{{- if $onVolumes }}
{{- $name := .Values.backup.passphraseSecret }}
{{- $create := printf "kubectl -n %s create secret generic %s --from-literal=passphrase=$(openssl rand -hex 32)" $ns ($name | default "backup-passphrase") }}
{{- if not $name }}
{{- fail (printf "backup.passphraseSecret is missing: the keys are encrypted with a passphrase. Create a Secret (%s), keep a copy of the passphrase elsewhere, and set backup.passphraseSecret=backup-passphrase" $create) }}
{{- end }}
{{- include "nym-mixnode.checkSecret" (list . "backup.passphraseSecret" $name (list "passphrase") (printf "with %s" $create)) }}
{{- else if and (not .Values.gateway.enabled) (or (not .Values.registry.enabled) .Values.registry.database.existingSecret (not .Values.registry.persistence.enabled)) }}
{{- fail "backup.enabled: nothing of this release is on a volume; set backup.enabled=false" }}
{{- end }}
{{- if not .Values.backup.existingClaim }}
{{- fail (printf "backup.existingClaim is missing: create a PersistentVolumeClaim for the copies in the namespace %s, and set backup.existingClaim to its name" $ns) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Checks that a Secret of the operator exists and has these keys. */}}
{{- define "nym-mixnode.checkSecret" -}}
{{- $ns := (index . 0).Release.Namespace }}
{{- $value := index . 1 }}
{{- $name := index . 2 }}
{{- $remedy := index . 4 }}
{{- $secret := lookup "v1" "Secret" $ns $name }}
{{- /* Every namespace has this ServiceAccount. Without it, there is no cluster or no such namespace. */}}
{{- if and (not $secret) (lookup "v1" "ServiceAccount" $ns "default") }}
{{- fail (printf "%s: the Secret %s does not exist in the namespace %s: create it %s" $value $name $ns $remedy) }}
{{- end }}
{{- range $key := index . 3 }}
{{- if and $secret (not (hasKey ($secret.data | default dict) $key)) }}
{{- fail (printf "%s: the Secret %s has no key %s: create it again %s" $value $name $key $remedy) }}
{{- end }}
{{- end }}
{{- end }}
