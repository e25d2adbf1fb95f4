{{/*
What no schema can say. Each refusal names the value, and what to do. What `lookup` finds in the cluster is empty in
`helm template`: nothing is refused for it there.
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

{{/* No default: it would be somebody's image, and not necessarily ours. */}}
{{- define "nym-mixnode.checkImage" -}}
{{- if not .Values.image.repository }}
{{- fail "image.repository is missing: build the image (docker build -t REGISTRY/nym-mixnode:TAG .), push it to a registry that the cluster pulls from, and set image.repository=REGISTRY/nym-mixnode and image.tag=TAG" }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkDirectory" -}}
{{- if and .Values.registry.enabled .Values.directory.url }}
{{- fail "directory.url and registry.enabled exclude each other: leave directory.url empty to use the release's own directory, or set registry.enabled=false" }}
{{- end }}
{{- if not (or .Values.registry.enabled .Values.directory.url) }}
{{- fail "directory.url is missing: set it to the URL of the directory server (--set directory.url=https://…), or make a network of your own with --set registry.enabled=true" }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkPorts" -}}
{{- $network := .Values.network }}
{{- $last := add $network.nodePort.first .Values.replicaCount -1 }}
{{- if and (eq $network.mode "nodePort") (gt (int $last) 32767) }}
{{- fail (printf "network.nodePort.first is too high: with replicaCount %v the last node would have port %v, and node ports end at 32767" .Values.replicaCount $last) }}
{{- end }}
{{- if and (eq $network.mode "hostNetwork") (eq (int $network.port) (int $network.hostNetwork.httpPort)) }}
{{- fail (printf "network.port and network.hostNetwork.httpPort are both %v: on the host's network packets and the status need ports of their own; change one of them" $network.port) }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkMetrics" -}}
{{- $metrics := .Values.metrics }}
{{- if and $metrics.serviceMonitor.enabled $metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor.enabled and metrics.podMonitor.enabled exclude each other: every node would be counted twice; set one of them to false" }}
{{- end }}
{{- range $kind := list "serviceMonitor" "podMonitor" }}
{{- if and (get $metrics $kind).enabled (eq $.Values.network.mode "hostNetwork") }}
{{- fail (printf "metrics.%s.enabled: on the host's network the status is on the machine's loopback, and Prometheus cannot ask for it; set it to false and collector.enabled=true, to which the nodes send their metrics" $kind) }}
{{- end }}
{{- end }}
{{- end }}

{{/* By these, selectors and Helm find what is the release's. */}}
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
{{- fail (printf "%s: %s is the chart's own: leave it out, or choose another name" $value $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkKeys" -}}
{{- $name := .Values.keys.existingSecret }}
{{- $ns := .Release.Namespace }}
{{- if $name }}
{{- if gt (int .Values.replicaCount) 1 }}
{{- fail (printf "keys.existingSecret holds one identity, and replicaCount is %v: two nodes with one identity lose packets. Set replicaCount=1 and install one release for each Secret, or leave keys.existingSecret empty" .Values.replicaCount) }}
{{- end }}
{{- $secret := lookup "v1" "Secret" $ns $name }}
{{- /* Every namespace has this one: where it is not found either, there is no cluster or no namespace to look into. */}}
{{- if and (not $secret) (lookup "v1" "ServiceAccount" $ns "default") }}
{{- fail (printf "keys.existingSecret: there is no Secret %s in the namespace %s: make it first, in a node's data directory, with kubectl -n %s create secret generic %s --from-file=… for each of its four files" $name $ns $ns $name) }}
{{- end }}
{{- range $key := list "private_identity.pem" "public_identity.pem" "private_sphinx.pem" "public_sphinx.pem" }}
{{- if and $secret (not (hasKey ($secret.data | default dict) $key)) }}
{{- fail (printf "keys.existingSecret: the Secret %s has no key %s: make it anew with kubectl create secret generic %s --from-file=… for each of the four files of a node's data directory" $name $key $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
