{{/* A CronJob that copies the data of one pod. Names of CronJobs have at most 52 characters. */}}
{{- define "nym-mixnode.backupJob" -}}
{{- $root := .root }}
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ .name | quote }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "nym-mixnode.labels" $root | nindent 4 }}
    app.kubernetes.io/component: backup
  annotations:
    {{- include "nym-mixnode.testExceptions" $root | nindent 4 }}
spec:
  schedule: {{ $root.Values.backup.schedule | quote }}
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 1
  jobTemplate:
    spec:
      backoffLimit: 2
      template:
        metadata:
          labels:
            {{- include "nym-mixnode.podLabels" $root | nindent 12 }}
            app.kubernetes.io/component: backup
        spec:
          {{- include "nym-mixnode.backupPod" . | nindent 10 }}
{{- end }}

{{/* The pod runs beside the one whose volume it reads, because most volumes belong to one machine at a time. */}}
{{- define "nym-mixnode.backupPod" -}}
{{- $root := .root -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "nym-mixnode.podSecurity" $root | nindent 2 }}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {statefulset.kubernetes.io/pod-name: {{ .pod | quote }}}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: backup
    image: {{ include "nym-mixnode.image" $root | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args: {{ toJson .arguments }}
    {{- if .isNode }}
    # The configuration of the node, which may contain the place of its keys.
    envFrom:
      - configMapRef: {name: {{ $root.SetName | quote }}}
    {{- end }}
    env:
      # The name of a job's pod is unique, and contains the time.
      - name: COPY
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      {{- if .isNode }}
      - {name: POD_NAME, value: {{ .pod | quote }}}
      {{- with include "nym-mixnode.podEnvironment" $root }}
      {{- . | trim | nindent 6 }}
      {{- end }}
      {{- end }}
    securityContext:
      {{- include "nym-mixnode.containerSecurity" $root | nindent 6 }}
    resources:
      {{- if .isNode }}
      # The encryption of the keys uses 256 MiB, so that passphrases are slow to guess.
      requests: {cpu: 50m, memory: 320Mi}
      limits: {memory: 384Mi}
      {{- else }}
      {{- include "nym-mixnode.testResources" $root | nindent 6 }}
      {{- end }}
    volumeMounts:
      - {name: data, mountPath: /data{{ if .isNode }}, readOnly: true{{ end }}}
      - {name: backup, mountPath: /backup}
      {{- if .isNode }}
      - {name: pods, mountPath: /etc/nym-mixnode/pods, readOnly: true}
      - {name: passphrase, mountPath: /passphrase, readOnly: true}
      {{- end }}
volumes:
  - name: data
    persistentVolumeClaim: {claimName: {{ .claim | default (printf "data-%s" .pod) | quote }}}
  - name: backup
    persistentVolumeClaim: {claimName: {{ $root.Values.backup.existingClaim | quote }}}
  {{- if .isNode }}
  - name: pods
    configMap: {name: {{ $root.SetName }}-pods}
  - name: passphrase
    secret: {secretName: {{ $root.Values.backup.passphraseSecret | quote }}, defaultMode: 0440}
  {{- end }}
{{- end }}
