{{/* Names, labels and the image. */}}

{{- define "dnsserver.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "dnsserver.fullname" -}}
{{- $name := include "dnsserver.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "dnsserver.serviceName" -}}
{{- default (include "dnsserver.fullname" .) .Values.service.name -}}
{{- end -}}

{{/* Whether the Service for DNS can have the port of `inspect` too: nobody outside the cluster reaches it. */}}
{{- define "dnsserver.inspectShares" -}}
{{- if and .Values.service.enabled (eq .Values.service.type "ClusterIP") (not .Values.service.externalIPs) }}yes{{ end -}}
{{- end -}}

{{/* The Service with the port of `inspect`: named after the release wherever that name is left. */}}
{{- define "dnsserver.inspectName" -}}
{{- $name := include "dnsserver.fullname" . -}}
{{- if include "dnsserver.inspectShares" . -}}
{{- include "dnsserver.serviceName" . -}}
{{- else if and .Values.service.enabled (eq $name (include "dnsserver.serviceName" .)) -}}
{{- $name }}-inspect
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "dnsserver.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "dnsserver.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "dnsserver.configMapName" -}}
{{- default (include "dnsserver.fullname" .) .Values.existingConfigMap -}}
{{- end -}}

{{/* What never changes: a Deployment's selector cannot. */}}
{{- define "dnsserver.selector" -}}
app.kubernetes.io/name: {{ include "dnsserver.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dnsserver.labels" -}}
{{ include "dnsserver.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What every object has: name, namespace, labels. Takes the root and a suffix. */}}
{{- define "dnsserver.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "dnsserver.fullname" $root }}{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "dnsserver.labels" $root | nindent 2 }}
{{- with $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The same for objects of the cluster, whose names have the namespace in them. */}}
{{- define "dnsserver.clusterMetadata" -}}
{{- $root := index . 0 -}}
name: {{ $root.Release.Namespace }}-{{ include "dnsserver.fullname" $root }}{{ index . 1 }}
labels:
  {{- include "dnsserver.labels" $root | nindent 2 }}
{{- with $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "dnsserver.image" -}}
{{- $image := .Values.image -}}
{{- if $image.registry }}{{ $image.registry }}/{{ end }}{{ $image.repository }}
{{- if or $image.tag (not $image.digest) }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- if $image.digest }}@{{ $image.digest }}{{ end }}
{{- end -}}

{{- define "dnsserver.priorityClassName" -}}
{{- if .Values.priorityClassName -}}
{{- .Values.priorityClassName -}}
{{- else if eq .Values.mode "clusterDNS" -}}
system-cluster-critical
{{- end -}}
{{- end -}}

{{/* The volume of a Secret: a label, where the Secret's name may be longer and have dots. */}}
{{- define "dnsserver.secretVolume" -}}
{{- $plain := printf "secret-%s" (replace "." "-" .) -}}
{{- if or (gt (len $plain) 63) (contains "." .) -}}
{{- $plain = printf "%s-%s" (trunc 54 $plain | trimSuffix "-") (. | sha256sum | trunc 8) -}}
{{- end -}}
{{- $plain -}}
{{- end -}}

{{/* The Service's address, where values have one: the API wants the first of clusterIPs as clusterIP too. */}}
{{- define "dnsserver.clusterIP" -}}
{{- default (.Values.service.clusterIPs | join " " | splitList " " | first) .Values.service.clusterIP -}}
{{- end -}}

{{- define "dnsserver.autoscaled" -}}
{{- if or .Values.autoscaling.enabled .Values.proportionalAutoscaler.enabled }}yes{{ end -}}
{{- end -}}
