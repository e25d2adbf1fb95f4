{{/*
What no schema can say. Each refusal names the value, and what to do.
*/}}
{{- define "nym-mixnode.check" -}}
{{- include "nym-mixnode.checkDirectory" . }}
{{- include "nym-mixnode.checkPorts" . }}
{{- include "nym-mixnode.checkKeys" . }}
{{- include "nym-mixnode.checkUpgrade" . }}
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
{{- $last := add .Values.network.nodePort.first .Values.replicaCount -1 }}
{{- if and (eq .Values.network.mode "nodePort") (gt (int $last) 32767) }}
{{- fail (printf "network.nodePort.first is too high: with replicaCount %v the last node would have port %v, and node ports end at 32767" .Values.replicaCount $last) }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkKeys" -}}
{{- $name := .Values.keys.existingSecret }}
{{- if $name }}
{{- if gt (int .Values.replicaCount) 1 }}
{{- fail (printf "keys.existingSecret holds one identity, and replicaCount is %v: two nodes with one identity lose packets. Set replicaCount=1 and install one release for each Secret, or leave keys.existingSecret empty" .Values.replicaCount) }}
{{- end }}
{{- $secret := lookup "v1" "Secret" .Release.Namespace $name }}
{{- range $key := list "private_identity.pem" "public_identity.pem" "private_sphinx.pem" "public_sphinx.pem" }}
{{- if and $secret (not (hasKey ($secret.data | default dict) $key)) }}
{{- fail (printf "keys.existingSecret: the Secret %s has no key %s: make it anew with kubectl create secret generic %s --from-file=… for each of the four files of a node's data directory" $name $key $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the keys are taken from. It stays as it was at the installation: another source is another identity. */}}
{{- define "nym-mixnode.keySource" -}}
{{- if .Values.keys.existingSecret }}{{ printf "secret/%s" .Values.keys.existingSecret }}{{ else }}volume{{ end }}
{{- end }}

{{- define "nym-mixnode.checkUpgrade" -}}
{{- $fullname := include "nym-mixnode.fullname" . }}
{{- $installed := lookup "apps/v1" "StatefulSet" .Release.Namespace $fullname }}
{{- if $installed }}
{{- $before := dig "metadata" "annotations" "nym-mixnode/keys" "" $installed }}
{{- $now := include "nym-mixnode.keySource" . }}
{{- if and $before (ne $before $now) }}
{{- fail (printf "keys.existingSecret: the keys of this release come from %s, and would now come from %s: the nodes would become others. Keep the value, or move: helm uninstall %s, put the keys where they are to be, and install again" $before $now .Release.Name) }}
{{- end }}
{{- range $claim := dig "spec" "volumeClaimTemplates" list $installed }}
{{- $size := dig "spec" "resources" "requests" "storage" "" $claim }}
{{- if and $size (ne $size $.Values.persistence.size) }}
{{- fail (printf "persistence.size: the volumes of this release have %s, and Kubernetes lets a StatefulSet not change it: keep the value, and enlarge each PersistentVolumeClaim with kubectl edit" $size) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
