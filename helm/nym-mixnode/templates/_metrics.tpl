{{/*
On the host's network the nodes' metrics are on the machine's loopback interface: Prometheus reads them from the collector.
*/}}
{{- define "nym-mixnode.scrapedComponents" -}}
{{- $components := list }}
{{- if ne .Values.network.mode "hostNetwork" }}
{{- range .Roles }}
{{- $components = append $components .Component }}
{{- end }}
{{- end }}
{{- if .Values.registry.enabled }}
{{- $components = append $components "registry" }}
{{- end }}
{{- if .Values.collector.enabled }}
{{- $components = append $components "collector" }}
{{- end -}}
matchLabels:
  {{- include "nym-mixnode.selector" . | nindent 2 }}
matchExpressions:
  - {key: app.kubernetes.io/component, operator: In, values: {{ toJson $components }}}
{{- end }}

{{/* The ports with metrics, by their names: nodes and registry have the same. */}}
{{- define "nym-mixnode.scrapedPorts" -}}
{{- $root := index . 0 -}}
- {port: http, path: /metrics, interval: {{ index . 1 }}}
{{- if include "nym-mixnode.trustsRegistry" $root }}
- port: https
  scheme: https
  path: /metrics
  interval: {{ index . 1 }}
  tlsConfig:
    ca: {secret: {name: {{ $root.Values.registry.tls.existingSecret | quote }}, key: ca.crt}}
    serverName: {{ include "nym-mixnode.registryHost" $root }}
{{- end }}
{{- if $root.Values.collector.enabled }}
{{- if eq $root.Values.network.mode "hostNetwork" }}
- {port: metrics, path: /metrics, interval: {{ index . 1 }}, honorLabels: true}
{{- else }}
- {port: own-metrics, path: /metrics, interval: {{ index . 1 }}}
{{- end }}
{{- end }}
{{- end }}
