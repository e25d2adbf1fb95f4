{{- define "nym-mixnode.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Pods append a number to it, Services and claims more; names of Services have at most 63 characters. */}}
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

{{/* Selectors are these and the component: they can never change. */}}
{{- define "nym-mixnode.selector" -}}
app.kubernetes.io/name: {{ include "nym-mixnode.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "nym-mixnode.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "nym-mixnode.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: nym-mixnode
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The same with others, which win. */}}
{{- define "nym-mixnode.labelsWith" -}}
{{- $labels := include "nym-mixnode.labels" (index . 0) | fromYaml }}
{{- mergeOverwrite $labels (index . 1) | toYaml }}
{{- end }}

{{/* Of pods: nothing that tells the chart's version, since a pod with another label is started anew. */}}
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
{{- printf "http://%s-registry.%s.svc:%v" (include "nym-mixnode.fullname" .) .Release.Namespace .Values.registry.port }}
{{- else }}
{{- .Values.directory.url }}
{{- end }}
{{- end }}

{{/* Where the announce address comes from; empty where no question to the API server is needed. */}}
{{- define "nym-mixnode.asksFor" -}}
{{- $mode := .Values.network.mode }}
{{- if eq $mode "loadBalancer" }}service
{{- else if or (eq $mode "nodePort") (and (eq $mode "hostNetwork") (eq .Values.network.hostNetwork.source "node")) }}node
{{- end }}
{{- end }}

{{/* The network of `registry.enabled` is this release: dealing its nodes out is what fills the emptiest layer. */}}
{{- define "nym-mixnode.dealsLayers" -}}
{{- if and .Values.registry.enabled (eq (toString .Values.node.layer) "auto") }}true{{ end }}
{{- end }}

{{/* Unregistering and telemetry have 5 s each, and the rest is some room. */}}
{{- define "nym-mixnode.gracePeriod" -}}
{{- add .Values.shutdown.lingerSeconds .Values.shutdown.drainSeconds 15 }}
{{- end }}

{{- define "nym-mixnode.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "nym-mixnode.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "nym-mixnode.testResources" -}}
requests:
  cpu: 50m
  memory: 32Mi
limits:
  memory: 128Mi
{{- end }}

{{/* What policy scanners are told, with the reason. */}}
{{- define "nym-mixnode.scannerExceptions" -}}
checkov.io/skip1: CKV_K8S_11=a limit on CPU would throttle nodes, and packets would leave late
checkov.io/skip2: CKV_K8S_15=a tag is a version, which does not change
checkov.io/skip3: CKV_K8S_43=image.digest pins the image; the chart cannot know the digest of a version to come
{{- end }}

{{- define "nym-mixnode.testExceptions" -}}
{{ include "nym-mixnode.scannerExceptions" . }}
checkov.io/skip4: CKV_K8S_8=it ends by itself
checkov.io/skip5: CKV_K8S_9=nothing is sent to it
{{- end }}

{{/*
Numbers of the pods with a Service of their own, as JSON. A pod that this upgrade takes away still mixes what was sent to
it: its Service goes with the next upgrade, when the pod is gone.
*/}}
{{- define "nym-mixnode.entrances" -}}
{{- $fullname := include "nym-mixnode.fullname" . }}
{{- $numbers := until (int .Values.replicaCount) }}
{{- $installed := lookup "apps/v1" "StatefulSet" .Release.Namespace $fullname }}
{{- range $number := untilStep (int .Values.replicaCount) (int (dig "spec" "replicas" 0 $installed)) 1 }}
{{- if lookup "v1" "Service" $.Release.Namespace (printf "%s-%v" $fullname $number) }}
{{- $numbers = append $numbers $number }}
{{- end }}
{{- end }}
{{- toJson $numbers }}
{{- end }}

{{/* On the host's network other programs may want the usual one. */}}
{{- define "nym-mixnode.httpPort" -}}
{{- ternary .Values.network.hostNetwork.httpPort 8000 (eq .Values.network.mode "hostNetwork") }}
{{- end }}
