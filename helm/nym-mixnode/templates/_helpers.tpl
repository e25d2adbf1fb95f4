{{- define "nym-mixnode.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Names of pods, Services and claims extend it, and names of Services have at most 63 characters. */}}
{{- define "nym-mixnode.fullname" -}}
{{- $name := include "nym-mixnode.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Selectors consist of these labels and the component. They can never change. */}}
{{- define "nym-mixnode.selector" -}}
app.kubernetes.io/name: {{ include "nym-mixnode.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "nym-mixnode.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_." | quote }}
{{ include "nym-mixnode.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: nym-mixnode
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* These labels and additional ones, which take precedence. */}}
{{- define "nym-mixnode.labelsWith" -}}
{{- $labels := include "nym-mixnode.labels" (index . 0) | fromYaml }}
{{- mergeOverwrite $labels (index . 1) | toYaml }}
{{- end }}

{{/* Labels of pods. The chart's version is not among them, because a changed label restarts the pods. */}}
{{- define "nym-mixnode.podLabels" -}}
{{- $labels := include "nym-mixnode.selector" . | fromYaml }}
{{- $_ := set $labels "app.kubernetes.io/part-of" "nym-mixnode" }}
{{- mergeOverwrite $labels .Values.commonLabels | toYaml }}
{{- end }}

{{- define "nym-mixnode.nodePodLabels" -}}
{{- $labels := include "nym-mixnode.podLabels" . | fromYaml }}
{{- mergeOverwrite $labels .Values.podLabels | toYaml }}
{{- end }}

{{- define "nym-mixnode.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "nym-mixnode.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.collectorImage" -}}
{{- with .Values.collector.image }}
{{- if .digest }}{{ printf "%s@%s" .repository .digest }}{{ else }}{{ printf "%s:%s" .repository .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.directoryUrl" -}}
{{- if .Values.registry.enabled }}
{{- printf "%s://%s:%v" (include "nym-mixnode.registryScheme" .) (include "nym-mixnode.registryHost" .) .Values.registry.port }}
{{- else }}
{{- .Values.directory.url }}
{{- end }}
{{- end }}

{{/* The object that has the announce address; empty if the node does not need the API server. */}}
{{- define "nym-mixnode.asksFor" -}}
{{- $mode := .Values.network.mode }}
{{- if eq $mode "loadBalancer" }}service
{{- else if or (eq $mode "nodePort") (and (eq $mode "hostNetwork") (eq .Values.network.hostNetwork.source "node")) }}node
{{- end }}
{{- end }}

{{/* With `registry.enabled` the release is the whole network, so the chart can assign the layers. */}}
{{- define "nym-mixnode.dealsLayers" -}}
{{- if and (eq .Component "mixnode") .Values.registry.enabled (eq (toString .Values.node.layer) "auto") }}true{{ end }}
{{- end }}

{{/* Unregistering and telemetry take up to 5 s each; the rest is reserve. */}}
{{- define "nym-mixnode.gracePeriod" -}}
{{- add .Values.shutdown.lingerSeconds .Values.shutdown.drainSeconds 15 }}
{{- end }}

{{- define "nym-mixnode.podSecurity" -}}
runAsNonRoot: true
{{- include "nym-mixnode.ids" (list . "runAsUser" "runAsGroup" "fsGroup") }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "nym-mixnode.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- include "nym-mixnode.ids" (list . "runAsUser" "runAsGroup") }}
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Whether each pod has a volume. Keys from a Secret leave nothing else to keep, but for the inboxes of a gateway. */}}
{{- define "nym-mixnode.ownVolume" -}}
{{- if or (eq .Component "gateway") (not .Values.keys.existingSecret) }}true{{ end }}
{{- end }}

{{/* Name of the Secret with the certificate of gateways for their clients. */}}
{{- define "nym-mixnode.clientsCertificate" -}}
{{- if and (eq .Component "gateway") .Values.gateway.tls.enabled }}{{ .Values.gateway.tls.existingSecret }}{{ end }}
{{- end }}

{{/* Name of the Secret with the keys of the node with this number. */}}
{{- define "nym-mixnode.keySecret" -}}
{{- (index . 0).Values.keys.existingSecret | replace "$(ordinal)" (index . 1 | toString) }}
{{- end }}

{{/*
The keys of all nodes, each in a folder that is named after its pod. Of this volume a container sees its own folder alone.
*/}}
{{- define "nym-mixnode.keyVolume" -}}
name: keys
{{- if contains "$(ordinal)" .Values.keys.existingSecret }}
projected:
  defaultMode: 0440
  sources:
    {{- range $number := until (int .Values.replicaCount) }}
    {{- $folder := printf "%s-%v" $.SetName $number }}
    - secret:
        name: {{ include "nym-mixnode.keySecret" (list $ $number) | quote }}
        items:
          {{- range $file := list "private_identity.pem" "public_identity.pem" "private_sphinx.pem" "public_sphinx.pem" }}
          - {key: {{ $file }}, path: {{ $folder }}/{{ $file }}}
          {{- end }}
    {{- end }}
{{- else }}
secret:
  secretName: {{ .Values.keys.existingSecret | quote }}
  defaultMode: 0440
{{- end }}
{{- end }}

{{/* The ids that are set. */}}
{{- define "nym-mixnode.ids" -}}
{{- $context := (index . 0).Values.securityContext }}
{{- range $key := rest . }}
{{- if and (hasKey $context $key) (not (kindIs "invalid" (get $context $key))) }}
{{ $key }}: {{ get $context $key | int64 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Requests and limits as texts; an empty text removes one. */}}
{{- define "nym-mixnode.resources" -}}
{{- $resources := dict }}
{{- range $kind, $quantities := . }}
{{- $kept := dict }}
{{- range $name, $quantity := $quantities }}
{{- $text := ternary "" (toString $quantity) (kindIs "invalid" $quantity) }}
{{- if and (kindIs "float64" $quantity) (eq (floor $quantity) $quantity) }}
{{- $text = int64 $quantity | toString }}
{{- end }}
{{- if $text }}
{{- $_ := set $kept $name $text }}
{{- end }}
{{- end }}
{{- if $kept }}
{{- $_ := set $resources $kind $kept }}
{{- end }}
{{- end }}
{{- toYaml $resources }}
{{- end }}

{{/* An affinity without the kinds that are `null`. */}}
{{- define "nym-mixnode.affinity" -}}
{{- $kinds := dict }}
{{- range $kind, $terms := . }}
{{- if $terms }}
{{- $_ := set $kinds $kind $terms }}
{{- end }}
{{- end }}
{{- with $kinds }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "nym-mixnode.testResources" -}}
requests:
  cpu: 50m
  memory: 32Mi
limits:
  memory: 128Mi
{{- end }}

{{/* Exceptions for policy scanners, with reasons. */}}
{{- define "nym-mixnode.scannerExceptions" -}}
checkov.io/skip1: CKV_K8S_11=a CPU limit would throttle nodes and delay packets
checkov.io/skip2: CKV_K8S_15=tags are versions, which do not change
checkov.io/skip3: CKV_K8S_43=image.digest pins the image; the chart cannot know the digest
{{- end }}

{{- define "nym-mixnode.testExceptions" -}}
{{ include "nym-mixnode.scannerExceptions" . }}
checkov.io/skip4: CKV_K8S_8=the pod ends by itself
checkov.io/skip5: CKV_K8S_9=the pod serves no requests
{{- end }}

{{/*
Numbers of the pods that have their own Service, as JSON. A pod that this upgrade removes still mixes packets in flight,
so the next upgrade removes its Service.
*/}}
{{- define "nym-mixnode.entrances" -}}
{{- $numbers := until (max (int .Values.replicaCount) (int .Values.network.services) | int) }}
{{- $installed := lookup "apps/v1" "StatefulSet" .Release.Namespace .SetName }}
{{- range $number := untilStep (len $numbers) (int (dig "spec" "replicas" 0 $installed)) 1 }}
{{- if lookup "v1" "Service" $.Release.Namespace (printf "%s-%v" $.SetName $number) }}
{{- $numbers = append $numbers $number }}
{{- end }}
{{- end }}
{{- toJson $numbers }}
{{- end }}

{{/* On the host's network other programs may use the default port. */}}
{{- define "nym-mixnode.httpPort" -}}
{{- ternary .Values.network.hostNetwork.httpPort 8000 (eq .Values.network.mode "hostNetwork") }}
{{- end }}
