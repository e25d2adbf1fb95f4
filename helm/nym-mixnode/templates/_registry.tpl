{{/* The name of the registry, without the port, as the nodes call it. */}}
{{- define "nym-mixnode.registryHost" -}}
{{- printf "%s-registry.%s.svc" (include "nym-mixnode.fullname" .) .Release.Namespace }}
{{- end }}

{{/* Scheme of the registry, and name of its port. */}}
{{- define "nym-mixnode.registryScheme" -}}
{{- ternary "https" "http" (ne .Values.registry.tls.existingSecret "") }}
{{- end }}

{{/* The authority of the registry's certificate, for its clients in the release. */}}
{{- define "nym-mixnode.trustsRegistry" -}}
{{- if and .Values.registry.enabled .Values.registry.tls.existingSecret }}true{{ end }}
{{- end }}

{{- define "nym-mixnode.registryAuthority" -}}
name: registry-authority
secret:
  secretName: {{ .Values.registry.tls.existingSecret | quote }}
  defaultMode: 0440
  items: [{key: ca.crt, path: ca.crt}]
{{- end }}

{{/* The names that requests with the token may have as their host. */}}
{{- define "nym-mixnode.registryHosts" -}}
{{- $hosts := prepend .Values.registry.hostNames (include "nym-mixnode.registryHost" .) }}
{{- range list .Values.registry.ingress .Values.registry.httpRoute }}
{{- if .enabled }}
{{- $hosts = append $hosts .host }}
{{- end }}
{{- end }}
{{- uniq $hosts | join "," }}
{{- end }}

{{/* Registries that share a database leave the tests to one monitor of the release. */}}
{{- define "nym-mixnode.separateMonitor" -}}
{{- if and .Values.registry.monitor.enabled (gt (int .Values.registry.replicas) 1) }}true{{ end }}
{{- end }}

{{/* Where the pods of the registry and of its monitor run. */}}
{{- define "nym-mixnode.registryScheduling" -}}
{{- $registry := .Values.registry -}}
{{- with $registry.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $registry.nodeSelector | default .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "nym-mixnode.affinity" $registry.affinity }}
{{- with $registry.tolerations | default .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Whether the volume of the registry is a claim that the operator created. */}}
{{- define "nym-mixnode.registryClaim" -}}
{{- with .Values.registry }}
{{- if and .persistence.enabled (not .database.existingSecret) }}{{ .persistence.existingClaim }}{{ end }}
{{- end }}
{{- end }}

{{/* The template of the registry's pods. */}}
{{- define "nym-mixnode.registryPod" -}}
{{- $registry := .Values.registry }}
{{- $isShared := ne $registry.database.existingSecret "" }}
{{- $scheme := include "nym-mixnode.registryScheme" . -}}
metadata:
  labels:
    {{- include "nym-mixnode.podLabels" . | nindent 4 }}
    app.kubernetes.io/component: registry
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "nym-mixnode.podSecurity" . | nindent 4 }}
  {{- include "nym-mixnode.registryScheduling" . | nindent 2 }}
  {{- if $isShared }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "nym-mixnode.selector" . | nindent 10 }}
          app.kubernetes.io/component: registry
  {{- end }}
  containers:
    - name: registry
      image: {{ include "nym-mixnode.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- include "nym-mixnode.registryArguments" . | nindent 8 }}
      ports:
        - {name: {{ $scheme | quote }}, containerPort: 8081, protocol: TCP}
        # Test packets, which prove the addresses of nodes and measure them, return to this port of the pod's address.
        - {name: test, containerPort: 8082, protocol: TCP}
      startupProbe:
        tcpSocket: {port: {{ $scheme }}}
        periodSeconds: 1
        failureThreshold: {{ .Values.probes.startupSeconds }}
      livenessProbe:
        tcpSocket: {port: {{ $scheme }}}
        periodSeconds: {{ .Values.probes.periodSeconds }}
        failureThreshold: {{ .Values.probes.failureThreshold }}
      readinessProbe:
        httpGet: {path: /api/mixmining/topology, port: {{ $scheme }}{{ if $registry.tls.existingSecret }}, scheme: HTTPS{{ end }}}
        periodSeconds: {{ .Values.probes.periodSeconds }}
        timeoutSeconds: 3
      securityContext:
        {{- include "nym-mixnode.containerSecurity" . | nindent 8 }}
      resources:
        {{- include "nym-mixnode.resources" $registry.resources | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /data}
        {{- if $isShared }}
        - {name: database, mountPath: /database, readOnly: true}
        {{- end }}
        {{- if $registry.token.existingSecret }}
        - {name: token, mountPath: /token, readOnly: true}
        {{- end }}
        {{- if $registry.tls.existingSecret }}
        - {name: tls, mountPath: /tls, readOnly: true}
        {{- end }}
  {{- $claim := include "nym-mixnode.registryClaim" . }}
  {{- if or $isShared $claim (not $registry.persistence.enabled) $registry.token.existingSecret $registry.tls.existingSecret }}
  volumes:
    {{- if $claim }}
    - name: data
      persistentVolumeClaim: {claimName: {{ $claim | quote }}}
    {{- else if or $isShared (not $registry.persistence.enabled) }}
    - name: data
      emptyDir: {}
    {{- end }}
    {{- if $isShared }}
    - name: database
      secret: {secretName: {{ $registry.database.existingSecret | quote }}, defaultMode: 0440}
    {{- end }}
    {{- if $registry.token.existingSecret }}
    - name: token
      secret: {secretName: {{ $registry.token.existingSecret | quote }}, defaultMode: 0440}
    {{- end }}
    {{- if $registry.tls.existingSecret }}
    - name: tls
      secret: {secretName: {{ $registry.tls.existingSecret | quote }}, defaultMode: 0440}
    {{- end }}
  {{- end }}
{{- end }}

{{- define "nym-mixnode.registryArguments" -}}
{{- $registry := .Values.registry -}}
- registry
- --listen=[::]:8081
{{- if $registry.tls.existingSecret }}
- --tls-certificate=/tls/tls.crt
- --tls-key=/tls/tls.key
{{- end }}
- --data=/data/
{{- if $registry.database.existingSecret }}
- --database-file=/database/{{ $registry.database.key }}
{{- end }}
{{- if $registry.token.existingSecret }}
- --monitor-token-file=/token/monitor.token
{{- end }}
- --allow-private
- --layers={{ int .Values.node.layers }}
- --test-port=8082
- --host-name={{ include "nym-mixnode.registryHosts" . }}
{{- with $registry.trustedProxies }}
- --trusted-proxy={{ join "," . }}
{{- end }}
{{- if and $registry.monitor.enabled (not (include "nym-mixnode.separateMonitor" .)) }}
- --with-monitor
- --monitor-every={{ $registry.monitor.every }}
{{- end }}
{{- end }}
