{{/* The variables that all nodes of a role share, sorted, for the ConfigMap and its checksum. */}}
{{- define "nym-mixnode.environment" -}}
{{- $network := .Values.network }}
{{- $onHost := eq $network.mode "hostNetwork" }}
{{- $asksFor := include "nym-mixnode.asksFor" . }}
{{- $env := dict
  "RUST_LOG" .Values.logLevel
  "NYM_MIXNODE_HOME" "/data"
  "NYM_MIXNODE_INIT_IF_MISSING" (toString (or .Values.keys.create (ne .Values.keys.existingSecret "")))
  "NYM_MIXNODE_DIRECTORY_URL" (include "nym-mixnode.directoryUrl" .)
  "NYM_MIXNODE_DIRECTORY_METRICS_URL" (.Values.directory.metricsUrl | default (include "nym-mixnode.directoryUrl" .))
  "NYM_MIXNODE_NODE_LOCATION" .Values.node.location
  "NYM_MIXNODE_NODE_INCENTIVES_ADDRESS" .Values.node.incentivesAddress
  "NYM_MIXNODE_LISTEN_ADDRESSES" (printf "[::]:%v" $network.port)
  "NYM_MIXNODE_HTTP_LISTEN" (ternary (printf "127.0.0.1:%v" $network.hostNetwork.httpPort) "[::]:8000" $onHost)
  "NYM_MIXNODE_ANNOUNCE_RECHECK" $network.recheck
  "NYM_MIXNODE_ANNOUNCE_SOURCE" (ternary "auto" (printf "kubernetes-%s" $asksFor) (eq $asksFor ""))
  "NYM_MIXNODE_ANNOUNCE_ALLOW_PRIVATE" (toString (or $network.allowPrivate .Values.registry.enabled (eq $network.mode "clusterOnly")))
  "NYM_MIXNODE_ADDRESS_CLOUD" (ternary $network.hostNetwork.cloud "none" $onHost)
  "NYM_MIXNODE_SHUTDOWN_LINGER" (printf "%vs" .Values.shutdown.lingerSeconds)
  "NYM_MIXNODE_SHUTDOWN_DRAIN_DEADLINE" (printf "%vs" .Values.shutdown.drainSeconds)
  "NYM_MIXNODE_LIMITS_NOFILE" (toString (int64 .Values.nofile.target))
  "NYM_MIXNODE_LIMITS_NOFILE_STRICT" (toString .Values.nofile.strict)
}}
{{- if eq (get $env "NYM_MIXNODE_INIT_IF_MISSING") "false" }}
{{- /* The name of nodes that create themselves. */}}
{{- $_ := set $env "NYM_MIXNODE_ID" "mixnode" }}
{{- end }}
{{- range include "nym-mixnode.clientsPorts" . | fromJsonArray }}
{{- if ne $network.mode "nodePort" }}
{{- $_ := set $env (printf "NYM_MIXNODE_GATEWAY_%s" .listen) (printf "[::]:%v" .port) }}
{{- end }}
{{- end }}
{{- if eq .Component "gateway" }}
{{- if not .Values.gateway.tls.enabled }}
{{- $_ := set $env "NYM_MIXNODE_GATEWAY_TLS_LISTEN" "off" }}
{{- else if .Values.gateway.tls.existingSecret }}
{{- $_ := set $env "NYM_MIXNODE_GATEWAY_TLS_CERTIFICATE_FILE" "/gateway-tls/tls.crt" }}
{{- $_ := set $env "NYM_MIXNODE_GATEWAY_TLS_KEY_FILE" "/gateway-tls/tls.key" }}
{{- end }}
{{- end }}
{{- if and (eq .Component "mixnode") (ne (toString .Values.node.layer) "auto") }}
{{- $_ := set $env "NYM_MIXNODE_NODE_LAYER" (toString .Values.node.layer) }}
{{- end }}
{{- if .Values.keys.existingSecret }}
{{- $_ := set $env "NYM_MIXNODE_KEYS_DIR" "/keys" }}
{{- $_ := set $env "NYM_MIXNODE_KEYS_ALLOW_GROUP_READ" "true" }}
{{- end }}
{{- if include "nym-mixnode.trustsRegistry" . }}
{{- $_ := set $env "SSL_CERT_FILE" "/registry-authority/ca.crt" }}
{{- end }}
{{- if .Values.collector.enabled }}
{{- $host := printf "%s-collector.%s.svc" (include "nym-mixnode.fullname" .) .Release.Namespace }}
{{- $_ := set $env "OTEL_EXPORTER_OTLP_ENDPOINT" (printf "http://%s:4318" $host) }}
{{- end }}
{{- range $key, $value := .Values.settings }}
{{- if not (kindIs "invalid" $value) }}
{{- $text := ternary (int64 $value | toString) (toString $value) (and (kindIs "float64" $value) (eq (floor $value) $value)) }}
{{- $_ := set $env (printf "NYM_MIXNODE_%s" ($key | replace "." "_" | upper)) $text }}
{{- end }}
{{- end }}
{{- range $name := keys $env | sortAlpha }}
{{ $name }}: {{ get $env $name | quote }}
{{- end }}
{{- end }}

{{/* The configuration that a node reads at its start, without the number of nodes. */}}
{{- define "nym-mixnode.configuration" -}}
{{- include "nym-mixnode.environment" . }}
{{- if include "nym-mixnode.dealsLayers" . }}
layers: {{ .Values.node.layers }}
{{- end }}
{{- if eq .Values.network.mode "nodePort" }}
first port: {{ .Values.network.nodePort.first }}
{{- end }}
{{- range include "nym-mixnode.clientsPorts" . | fromJsonArray }}
{{ .name }}: {{ .url }}
{{- end }}
{{- end }}

{{/* The environment of a container: the shared variables, and those of this node. */}}
{{- define "nym-mixnode.containerEnvironment" -}}
envFrom:
  - configMapRef: {name: {{ .SetName | quote }}}
env:
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  {{- with include "nym-mixnode.podEnvironment" . }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The variables of the node of the pod POD_NAME. */}}
{{- define "nym-mixnode.podEnvironment" -}}
{{- if eq (include "nym-mixnode.asksFor" .) "node" }}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- end }}
{{- if eq (include "nym-mixnode.asksFor" .) "service" }}
- {name: NYM_MIXNODE_ANNOUNCE_SERVICE, value: $(POD_NAME)}
{{- end }}
{{- if include "nym-mixnode.dealsLayers" . }}
- {name: NYM_MIXNODE_NODE_LAYER_FILE, value: /etc/nym-mixnode/pods/$(POD_NAME).layer}
{{- end }}
{{- if eq .Values.network.mode "nodePort" }}
- {name: NYM_MIXNODE_ANNOUNCE_PORT_FILE, value: /etc/nym-mixnode/pods/$(POD_NAME).port}
{{- end }}
{{- $mode := .Values.network.mode }}
{{- range include "nym-mixnode.clientsPorts" . | fromJsonArray }}
{{- if eq $mode "nodePort" }}
- {name: NYM_MIXNODE_GATEWAY_{{ .listen }}_FILE, value: /etc/nym-mixnode/pods/$(POD_NAME).{{ .name }}}
{{- end }}
{{- if .url }}
- {name: NYM_MIXNODE_GATEWAY_{{ .announce }}_FILE, value: /etc/nym-mixnode/pods/$(POD_NAME).{{ .name }}-url}
{{- end }}
{{- end }}
{{- end }}

{{/*
The ports of a gateway for clients, as JSON: name, port, the two settings, the node port's distance from that for packets,
and the URL with $(ordinal) for the number of the gateway. The URL is empty where it follows the announced address. With
`clusterOnly` it has the name of the pod: clients keep the URL, and the address of a pod changes.
*/}}
{{- define "nym-mixnode.clientsPorts" -}}
{{- $ports := list }}
{{- if eq .Component "gateway" }}
{{- $host := printf "%s-$(ordinal).%s.%s.svc" .SetName .SetName .Release.Namespace }}
{{- with .Values.gateway }}
{{- $ports = append $ports (dict "name" "clients" "port" .clientsPort "listen" "LISTEN" "announce" "ANNOUNCE_URL" "distance" 1
  "url" .announceUrl "scheme" "ws") }}
{{- if .tls.enabled }}
{{- $ports = append $ports (dict "name" "clients-tls" "port" .tls.port "listen" "TLS_LISTEN" "announce" "TLS_ANNOUNCE_URL" "distance" 2
  "url" .tls.announceUrl "scheme" "wss") }}
{{- end }}
{{- end }}
{{- range $port := $ports }}
{{- if and (not .url) (eq $.Values.network.mode "clusterOnly") }}
{{- $_ := set $port "url" (printf "%s://%s:%v" .scheme $host .port) }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $ports }}
{{- end }}

{{/* Node port for packets of the pod with this number. Those of a gateway for clients follow. */}}
{{- define "nym-mixnode.nodePort" -}}
{{- $root := index . 0 }}
{{- add $root.Values.network.nodePort.first (mul (index . 1) $root.PortsPerPod) }}
{{- end }}

{{- define "nym-mixnode.lastNodePort" -}}
{{- add .Values.network.nodePort.first (mul .Values.replicaCount .PortsPerPod) -1 }}
{{- end }}

{{/* On the host's network the HTTP server listens on loopback only, where the kubelet reaches it. */}}
{{- define "nym-mixnode.probe" -}}
httpGet:
  path: /{{ index . 1 }}
  port: http
  {{- if eq (index . 0) "hostNetwork" }}
  host: 127.0.0.1
  {{- end }}
timeoutSeconds: 3
{{- end }}
