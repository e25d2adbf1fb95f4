{{/*
Rejects upgrades that would change the identities of the nodes, or fields of a StatefulSet that Kubernetes does not allow
to change.
*/}}
{{- define "nym-mixnode.checkUpgrade" -}}
{{- $installed := lookup "apps/v1" "StatefulSet" .Release.Namespace .SetName }}
{{- if $installed }}
{{- include "nym-mixnode.checkKeySource" (list . $installed) }}
{{- include "nym-mixnode.checkSelector" (list . $installed) }}
{{- include "nym-mixnode.checkNodePorts" (list . $installed) }}
{{- if include "nym-mixnode.ownVolume" . }}
{{- include "nym-mixnode.checkClaims" (list . (printf "%spersistence" .ValuesPath) .Values.persistence $installed) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The source of the keys. It must not change after the installation: another source means another identity. */}}
{{- define "nym-mixnode.keySource" -}}
{{- if .Values.keys.existingSecret }}{{ printf "secret/%s" .Values.keys.existingSecret }}{{ else }}volume{{ end }}
{{- end }}

{{- define "nym-mixnode.checkKeySource" -}}
{{- $root := index . 0 }}
{{- $before := dig "metadata" "annotations" "nym-mixnode/keys" "" (index . 1) }}
{{- $now := include "nym-mixnode.keySource" $root }}
{{- if and $before (ne $before $now) }}
{{- fail (printf "%skeys.existingSecret: the keys of this release come from %s, and would now come from %s: the nodes would get other identities. Keep the value, or migrate: helm uninstall %s, copy the keys to their new place, and install again" $root.ValuesPath $before $now $root.Release.Name) }}
{{- end }}
{{- end }}

{{/*
The names of volumes derive from the name of their StatefulSet: under another name nodes create new keys. A parent chart
may contain this chart twice under two names; releases from before the annotation are distinguished by the label.
*/}}
{{- define "nym-mixnode.checkSameName" -}}
{{- $fullname := include "nym-mixnode.fullname" . }}
{{- $name := include "nym-mixnode.name" . }}
{{- range $other := dig "items" list (lookup "apps/v1" "StatefulSet" .Release.Namespace "") }}
{{- $meta := $other.metadata }}
{{- $isOfRelease := eq $.Release.Name (dig "annotations" "meta.helm.sh/release-name" "" $meta) }}
{{- $isNodes := eq "mixnode" (dig "labels" "app.kubernetes.io/component" "" $meta) }}
{{- $chart := dig "annotations" "nym-mixnode/chart" "" $meta }}
{{- $isOurs := ternary (eq $chart $.Chart.Name) (has (dig "labels" "app.kubernetes.io/name" "" $meta) (list $name $.Chart.Name)) (ne $chart "") }}
{{- if and $isOfRelease $isNodes $isOurs (ne $meta.name $fullname) }}
{{- fail (printf "nameOverride, fullnameOverride: the nodes of this release are named %s, and would now be named %s: they would create new keys on new volumes and get other identities. Keep the values" $meta.name $fullname) }}
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

{{/* The API server accepts the Services one by one: a port must be free before another Service can use it. */}}
{{- define "nym-mixnode.checkNodePorts" -}}
{{- $root := index . 0 }}
{{- $first := int $root.Values.network.nodePort.first }}
{{- $service := lookup "v1" "Service" $root.Release.Namespace (printf "%s-0" $root.SetName) }}
{{- if and $service (eq $root.Values.network.mode "nodePort") (eq "NodePort" (dig "spec" "type" "" $service)) }}
{{- $before := int (first $service.spec.ports).nodePort }}
{{- $ports := mul (max (int $root.Values.replicaCount) (int (dig "spec" "replicas" 0 (index . 1)))) $root.PortsPerPod }}
{{- $apart := max (sub $first $before) (sub $before $first) }}
{{- if and (ne $first $before) (lt (int $apart) (int $ports)) }}
{{- fail (printf "%s.nodePort.first: the ports from %v overlap with the current ports from %v: choose a port that is at least %v away, or keep %v" (include "nym-mixnode.networkPath" $root) $first $before $ports $before) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.checkRegistry" -}}
{{- $name := printf "%s-registry" (include "nym-mixnode.fullname" .) }}
{{- $onVolume := lookup "apps/v1" "StatefulSet" .Release.Namespace $name }}
{{- $onDatabase := lookup "apps/v1" "Deployment" .Release.Namespace $name }}
{{- $persistence := .Values.registry.persistence }}
{{- if .Values.registry.enabled }}
{{- if ternary $onVolume $onDatabase (ne .Values.registry.database.existingSecret "") }}
{{- $kind := ternary "statefulset" "deployment" (not (empty $onVolume)) }}
{{- $stores := ternary (list "a file" "a database") (list "a database" "a file") (not (empty $onVolume)) }}
{{- fail (printf "registry.database.existingSecret: the store of this release is %s, and would now be %s. It would be empty: nodes register again, their reputation starts at 0, and the registry has another key. Keep the value, or delete the registry (kubectl -n %s delete %s %s) and upgrade again" (first $stores) (last $stores) .Release.Namespace $kind $name) }}
{{- end }}
{{- if $onVolume }}
{{- $claims := dig "spec" "volumeClaimTemplates" list $onVolume }}
{{- $hasClaim := and $persistence.enabled (not $persistence.existingClaim) }}
{{- if ne (len $claims) (ternary 1 0 $hasClaim) }}
{{- $given := printf "enabled is %v" $persistence.enabled }}
{{- if and $persistence.enabled $persistence.existingClaim }}
{{- $given = printf "existingClaim is %s" $persistence.existingClaim }}
{{- end }}
{{- fail (printf "registry.persistence.%s, but the release was installed with %s. %s" $given (ternary "no volume of the registry" "a volume of the registry" $hasClaim) (include "nym-mixnode.orphan" (list . $onVolume))) }}
{{- end }}
{{- include "nym-mixnode.checkClaims" (list . "registry.persistence" $persistence $onVolume) }}
{{- end }}
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
{{- fail (printf "%s.%s: the volumes of this release have %s. %s; existing volumes do not change, use kubectl edit pvc to enlarge them" $values $key $has (include "nym-mixnode.orphan" (list $root $installed))) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.orphan" -}}
{{- $root := index . 0 -}}
Kubernetes does not allow this change of a StatefulSet: keep the value, or delete the StatefulSet without its pods (kubectl -n {{ $root.Release.Namespace }} delete statefulset {{ (index . 1).metadata.name }} --cascade=orphan) and upgrade again
{{- end }}

{{/* A size in bytes. The API server normalizes sizes, such as 1024Mi to 1Gi and 0.5Gi to 512Mi. */}}
{{- define "nym-mixnode.bytes" -}}
{{- $factors := dict "m" 0.001 "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 }}
{{- $number := regexFind "^[0-9.]+" . }}
{{- printf "%.3f" (mulf $number (get $factors (trimPrefix $number .))) }}
{{- end }}
