{{/*
Helm removes a key that a values file sets to `null`, before the schema is checked, and the templates would read it as
false or empty. Every template starts with this: each missing key gets its default again. An id of the security
context stays unset, so that a platform can set it.
*/}}
{{- define "nym-mixnode.defaults" -}}
{{- include "nym-mixnode.fill" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml)) }}
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
