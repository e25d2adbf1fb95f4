{{/*
Helm removes a key that a values file sets to `null`, before the schema is checked, and the templates would read it as
false or empty. Every template starts with this: each missing key gets its default again. An id of the security
context stays unset, so that a platform can set it.
*/}}
{{- define "nym-mixnode.defaults" -}}
{{- include "nym-mixnode.fill" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml)) }}
{{- include "nym-mixnode.addRoles" . }}
{{- end }}

{{- define "nym-mixnode.fill" -}}
{{- $values := index . 0 }}
{{- range $key, $default := index . 1 }}
{{- $value := get $values $key }}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" $value) }}
{{- $_ := set $values $key $default }}
{{- else if and (kindIs "map" $default) (ne $key "securityContext") }}
{{- include "nym-mixnode.fill" (list $value $default) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
`.Roles` lists the contexts that the templates of nodes are rendered with: that of the mixnodes, which is the context of
the chart, and that of the gateways, where the values of `gateway` have replaced those of the mixnodes. Besides the values
they differ in the component, the name of the StatefulSet, the path of their values, and the number of node ports per pod.
*/}}
{{- define "nym-mixnode.addRoles" -}}
{{- $fullname := include "nym-mixnode.fullname" . }}
{{- $mixnodes := dict "Component" "mixnode" "SetName" $fullname "ValuesPath" "" "PortsPerPod" 1 }}
{{- range $key, $value := $mixnodes }}
{{- $_ := set $ $key $value }}
{{- end }}
{{- $roles := list . }}
{{- if .Values.gateway.enabled }}
{{- $values := deepCopy .Values }}
{{- include "nym-mixnode.replaceByGateway" $values }}
{{- $gateways := dict "Component" "gateway" "SetName" (printf "%s-gateway" $fullname) "ValuesPath" "gateway." "PortsPerPod" 3 "Values" $values }}
{{- range $key := list "Chart" "Release" "Files" "Capabilities" "Template" }}
{{- $_ := set $gateways $key (get $ $key) }}
{{- end }}
{{- $roles = append $roles $gateways }}
{{- end }}
{{- $_ := set . "Roles" $roles }}
{{- end }}

{{- define "nym-mixnode.replaceByGateway" -}}
{{- $gateway := .gateway }}
{{- $_ := set . "replicaCount" $gateway.replicas }}
{{- range $key := list "services" "port" }}
{{- $_ := set $.network $key (get $gateway $key) }}
{{- end }}
{{- $_ := set .network.nodePort "first" $gateway.nodePort.first }}
{{- $_ := set .network.hostNetwork "httpPort" $gateway.hostNetwork.httpPort }}
{{- range $key := list "keys" "persistence" "extraEnv" "extraVolumes" "extraVolumeMounts" "resources" "affinity" "topologySpreadConstraints" }}
{{- $_ := set $ $key (get $gateway $key) }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "priorityClassName" }}
{{- $_ := set $ $key (get $gateway $key | default (get $ $key)) }}
{{- end }}
{{- $_ := set . "settings" (merge (dict) $gateway.settings .settings) }}
{{- end }}
