{{- define "cerrojo.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "cerrojo.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cerrojo.labels" -}}
{{ include "cerrojo.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{- /* The image of a component (`.part`), whose tag or digest may differ during an update. */ -}}
{{- define "cerrojo.image" -}}
{{- $image := merge (dict) .part.image .root.Values.image -}}
{{- if and .part.image.tag (not .part.image.digest) }}{{ $_ := unset $image "digest" }}{{ end -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* A value of `env` as text; Helm has whole numbers as floating ones, from a million on as 1e+06. */ -}}
{{- define "cerrojo.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{- /* The environment of a component: what the chart says, `env`, then `extraEnv`. */ -}}
{{- define "cerrojo.env" -}}
{{- $values := .root.Values -}}
{{- /* Not `merge`, for which 0 and "" are no values. */ -}}
{{- $env := dict -}}
{{- range $given := list $values.env .part.env -}}
{{- range $name, $value := $given }}{{ $_ := set $env $name $value }}{{ end -}}
{{- end -}}
{{- range $name, $value := .own -}}
{{- if hasKey $env $name }}{{ fail (printf "%s is set by the chart itself; docs/deploy.md has the value to change" $name) }}{{ end -}}
- {name: {{ $name }}, value: {{ include "cerrojo.text" $value | quote }}}
{{ end -}}
{{- range $name, $value := $env -}}
- {name: {{ $name }}, value: {{ include "cerrojo.text" $value | quote }}}
{{ end -}}
{{- with concat $values.extraEnv .part.extraEnv }}{{ toYaml . }}{{ end -}}
{{- end }}

{{- /* The Secret of all parts, then that of a component, whose keys hold. */ -}}
{{- define "cerrojo.envFrom" -}}
{{- $all := .root.Values.existingSecret -}}
{{- if not (or $all .part.existingSecret) }}
{{- fail (printf "existingSecret is needed, or %s.existingSecret: the name of a Secret with the key DATABASE_URL" .component) }}
{{- end -}}
{{- range $n, $name := compact (list $all .part.existingSecret) }}{{ if $n }}
{{ end }}- secretRef: {name: {{ $name }}}
{{- end }}
{{- end }}

{{- /* What all pods have in common. */ -}}
{{- define "cerrojo.pod" -}}
automountServiceAccountToken: false
# A Service named cerrojo-login would set CERROJO_LOGIN_PORT, which is a setting.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "cerrojo.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "cerrojo.selector" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "cerrojo.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "cerrojo.checkSigningKeys" -}}
{{- if ne (empty .Values.signingKeys.gateway) (empty .Values.signingKeys.workers) }}
{{- fail "of signingKeys.gateway and signingKeys.workers each needs the other: what one signs the other checks" }}
{{- end }}
{{- end }}

{{- define "cerrojo.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- range $n, $file := .Values.secretFiles }}
- {name: secret-{{ $n }}, mountPath: {{ $file.mountPath }}, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "cerrojo.volumes" -}}
# Metrics and the sockets of the hash processes.
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 128Mi}
{{- range $n, $file := .Values.secretFiles }}
- name: secret-{{ $n }}
  secret: {secretName: {{ $file.secret }}, defaultMode: 0440}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
