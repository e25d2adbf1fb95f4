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
    env:
      # The name of a job's pod is unique, and contains the time.
      - name: POD_NAME
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      - {name: NYM_MIXNODE_HOME, value: /data}
    securityContext:
      {{- include "nym-mixnode.containerSecurity" $root | nindent 6 }}
    resources:
      {{- include "nym-mixnode.testResources" $root | nindent 6 }}
    volumeMounts:
      - {name: data, mountPath: /data}
      - {name: backup, mountPath: /backup}
      {{- if .passphrase }}
      - {name: passphrase, mountPath: /passphrase, readOnly: true}
      {{- end }}
volumes:
  - name: data
    persistentVolumeClaim: {claimName: {{ .claim | default (printf "data-%s" .pod) | quote }}}
  - name: backup
    persistentVolumeClaim: {claimName: {{ $root.Values.backup.existingClaim | default (printf "%s-backup" (include "nym-mixnode.fullname" $root)) | quote }}}
  {{- if .passphrase }}
  - name: passphrase
    secret: {secretName: {{ $root.Values.backup.passphraseSecret | quote }}, defaultMode: 0440}
  {{- end }}
{{- end }}
