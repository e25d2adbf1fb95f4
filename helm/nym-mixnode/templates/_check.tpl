{{/*
Checks that a schema cannot express. Each message names the value and the fix. `lookup` returns nothing in
`helm template`, so checks against the cluster pass there.
*/}}
{{- define "nym-mixnode.check" -}}
{{- include "nym-mixnode.checkImage" . }}
{{- include "nym-mixnode.checkDirectory" . }}
{{- include "nym-mixnode.checkPorts" . }}
{{- include "nym-mixnode.checkMetrics" . }}
{{- include "nym-mixnode.checkLabels" . }}
{{- include "nym-mixnode.checkUpgrade" . }}
{{- include "nym-mixnode.checkKeys" . }}
{{- end }}

{{/* There is no default, because others could own an image of that name. */}}
{{- define "nym-mixnode.checkImage" -}}
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

{{- define "nym-mixnode.checkPorts" -}}
{{- $network := .Values.network }}
{{- $last := add $network.nodePort.first .Values.replicaCount -1 }}
{{- if and (eq $network.mode "nodePort") (gt (int $last) 32767) }}
{{- fail (printf "network.nodePort.first is too high: with replicaCount %v the last node would have port %v, and the highest node port is 32767; choose a lower first port" .Values.replicaCount $last) }}
{{- end }}
{{- if and (eq $network.mode "hostNetwork") (eq (int $network.port) (int $network.hostNetwork.httpPort)) }}
{{- fail (printf "network.port and network.hostNetwork.httpPort are both %v: on the host's network packets and status requests need different ports; change one of them" $network.port) }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkMetrics" -}}
{{- $metrics := .Values.metrics }}
{{- if and $metrics.serviceMonitor.enabled $metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor.enabled and metrics.podMonitor.enabled exclude each other: Prometheus would scrape each node twice; set one of them to false" }}
{{- end }}
{{- range $kind := list "serviceMonitor" "podMonitor" }}
{{- if and (get $metrics $kind).enabled (eq $.Values.network.mode "hostNetwork") }}
{{- fail (printf "metrics.%s.enabled: on the host's network the metrics are on the machine's loopback interface, where Prometheus cannot reach them; set it to false and collector.enabled=true to collect the metrics" $kind) }}
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
{{- if gt (int .Values.replicaCount) 1 }}
{{- fail (printf "keys.existingSecret contains one identity, but replicaCount is %v: several nodes with the same identity lose packets; set replicaCount=1 and install one release per Secret, or leave keys.existingSecret empty" .Values.replicaCount) }}
{{- end }}
{{- $secret := lookup "v1" "Secret" $ns $name }}
{{- /* Every namespace has this ServiceAccount. Without it, there is no cluster or no such namespace. */}}
{{- if and (not $secret) (lookup "v1" "ServiceAccount" $ns "default") }}
{{- fail (printf "keys.existingSecret: the Secret %s does not exist in the namespace %s: create it in the data directory of a node with kubectl -n %s create secret generic %s --from-file=… for each of the four key files" $name $ns $ns $name) }}
{{- end }}
{{- range $key := list "private_identity.pem" "public_identity.pem" "private_sphinx.pem" "public_sphinx.pem" }}
{{- if and $secret (not (hasKey ($secret.data | default dict) $key)) }}
{{- fail (printf "keys.existingSecret: the Secret %s has no key %s: create it again with kubectl create secret generic %s --from-file=… for each of the four key files in the data directory of a node" $name $key $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
