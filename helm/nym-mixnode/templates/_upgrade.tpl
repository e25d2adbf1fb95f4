{{/*
What an upgrade must not change: the identities of the nodes, and what Kubernetes lets nobody change in a StatefulSet.
*/}}
{{- define "nym-mixnode.checkUpgrade" -}}
{{- $fullname := include "nym-mixnode.fullname" . }}
{{- include "nym-mixnode.checkName" . }}
{{- $installed := lookup "apps/v1" "StatefulSet" .Release.Namespace $fullname }}
{{- if $installed }}
{{- include "nym-mixnode.checkKeySource" (list . $installed) }}
{{- include "nym-mixnode.checkSelector" (list . $installed) }}
{{- include "nym-mixnode.checkNodePorts" (list . $installed) }}
{{- if not .Values.keys.existingSecret }}
{{- include "nym-mixnode.checkClaims" (list . "persistence" .Values.persistence $installed) }}
{{- end }}
{{- end }}
{{- include "nym-mixnode.checkRegistry" . }}
{{- end }}

{{/* What the keys are taken from. It stays as it was at the installation: another source is another identity. */}}
{{- define "nym-mixnode.keySource" -}}
{{- if .Values.keys.existingSecret }}{{ printf "secret/%s" .Values.keys.existingSecret }}{{ else }}volume{{ end }}
{{- end }}

{{- define "nym-mixnode.checkKeySource" -}}
{{- $root := index . 0 }}
{{- $before := dig "metadata" "annotations" "nym-mixnode/keys" "" (index . 1) }}
{{- $now := include "nym-mixnode.keySource" $root }}
{{- if and $before (ne $before $now) }}
{{- fail (printf "keys.existingSecret: the keys of this release come from %s, and would now come from %s: the nodes would become others. Keep the value, or move: helm uninstall %s, put the keys where they are to be, and install again" $before $now $root.Release.Name) }}
{{- end }}
{{- end }}

{{/*
Volumes have the name of their StatefulSet: under another name nodes make new keys. A chart may be there twice in
another, under two names; before there was the annotation, the label told them apart.
*/}}
{{- define "nym-mixnode.checkName" -}}
{{- $fullname := include "nym-mixnode.fullname" . }}
{{- $name := include "nym-mixnode.name" . }}
{{- range $other := dig "items" list (lookup "apps/v1" "StatefulSet" .Release.Namespace "") }}
{{- $meta := $other.metadata }}
{{- $isOfRelease := eq $.Release.Name (dig "annotations" "meta.helm.sh/release-name" "" $meta) }}
{{- $isNodes := eq "mixnode" (dig "labels" "app.kubernetes.io/component" "" $meta) }}
{{- $chart := dig "annotations" "nym-mixnode/chart" "" $meta }}
{{- $isOurs := ternary (eq $chart $.Chart.Name) (has (dig "labels" "app.kubernetes.io/name" "" $meta) (list $name $.Chart.Name)) (ne $chart "") }}
{{- if and $isOfRelease $isNodes $isOurs (ne $meta.name $fullname) }}
{{- fail (printf "nameOverride, fullnameOverride: the nodes of this release are named %s, and would now be named %s: they would make new keys on new volumes, and become others. Keep the values as they were" $meta.name $fullname) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkSelector" -}}
{{- $root := index . 0 }}
{{- $before := dig "spec" "selector" "matchLabels" "app.kubernetes.io/name" "" (index . 1) }}
{{- $now := include "nym-mixnode.name" $root }}
{{- if ne $before $now }}
{{- fail (printf "nameOverride: the pods of this release have the name %s, and would now have %s. %s" $before $now (include "nym-mixnode.orphan" (list $root (index . 1)))) }}
{{- end }}
{{- end }}

{{/* The API server takes the Services one by one: a port must be free before it is given to another. */}}
{{- define "nym-mixnode.checkNodePorts" -}}
{{- $root := index . 0 }}
{{- $first := int $root.Values.network.nodePort.first }}
{{- $service := lookup "v1" "Service" $root.Release.Namespace (printf "%s-0" (include "nym-mixnode.fullname" $root)) }}
{{- if and $service (eq $root.Values.network.mode "nodePort") (eq "NodePort" (dig "spec" "type" "" $service)) }}
{{- $before := int (first $service.spec.ports).nodePort }}
{{- $nodes := max (int $root.Values.replicaCount) (int (dig "spec" "replicas" 0 (index . 1))) }}
{{- $apart := max (sub $first $before) (sub $before $first) }}
{{- if and (ne $first $before) (lt (int $apart) (int $nodes)) }}
{{- fail (printf "network.nodePort.first: the ports from %v on overlap with those from %v on, which the nodes have now: choose one that is at least %v away, or keep %v" $first $before $nodes $before) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkRegistry" -}}
{{- $registry := lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-registry" (include "nym-mixnode.fullname" .)) }}
{{- if and $registry .Values.registry.enabled }}
{{- $persistence := .Values.registry.persistence }}
{{- $claims := dig "spec" "volumeClaimTemplates" list $registry }}
{{- if ne (len $claims) (ternary 1 0 $persistence.enabled) }}
{{- fail (printf "registry.persistence.enabled is %v, and was not at the installation. %s" $persistence.enabled (include "nym-mixnode.orphan" (list . $registry))) }}
{{- end }}
{{- include "nym-mixnode.checkClaims" (list . "registry.persistence" $persistence $registry) }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkClaims" -}}
{{- $root := index . 0 }}
{{- $values := index . 1 }}
{{- $persistence := index . 2 }}
{{- $installed := index . 3 }}
{{- range $claim := dig "spec" "volumeClaimTemplates" list $installed }}
{{- $before := dict
  "size" (dig "spec" "resources" "requests" "storage" "" $claim)
  "storageClass" (dig "spec" "storageClassName" "" $claim)
  "accessMode" (first (dig "spec" "accessModes" list $claim))
  "annotations" (dig "metadata" "annotations" dict $claim | toJson)
}}
{{- $now := dict
  "size" $persistence.size
  "storageClass" $persistence.storageClass
  "accessMode" (dig "accessMode" "ReadWriteOnce" $persistence)
  "annotations" (dig "annotations" dict $persistence | toJson)
}}
{{- if eq (include "nym-mixnode.bytes" $before.size) (include "nym-mixnode.bytes" $now.size) }}
{{- $_ := set $now "size" $before.size }}
{{- end }}
{{- range $key := list "size" "storageClass" "accessMode" "annotations" }}
{{- if ne (get $before $key) (get $now $key) }}
{{- $has := get $before $key | default "none" }}
{{- fail (printf "%s.%s: the volumes of this release have %s. %s; the volumes that are there stay as they are, and are enlarged with kubectl edit pvc" $values $key $has (include "nym-mixnode.orphan" (list $root $installed))) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.orphan" -}}
{{- $root := index . 0 -}}
Kubernetes lets nobody change that in a StatefulSet: keep the value, or leave the pods without it for a moment (kubectl -n {{ $root.Release.Namespace }} delete statefulset {{ (index . 1).metadata.name }} --cascade=orphan) and upgrade again
{{- end }}

{{/* A size in bytes. The API server writes sizes in its own way, such as 1Gi for 1024Mi and 512Mi for 0.5Gi. */}}
{{- define "nym-mixnode.bytes" -}}
{{- $factors := dict "m" 0.001 "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 }}
{{- $number := regexFind "^[0-9.]+" . }}
{{- printf "%.3f" (mulf $number (get $factors (trimPrefix $number .))) }}
{{- end }}
