{{/* The Corefile: of the mode, of `servers`, or word for word; and what follows from it: ports and rights. */}}

{{/* The server blocks, as YAML in the shape of `servers`. */}}
{{- define "dnsserver.servers" -}}
{{- if .Values.servers -}}
{{- toYaml .Values.servers -}}
{{- else if eq .Values.mode "clusterDNS" -}}
- zones: [{zone: .}]
  plugins:
    {{- include "dnsserver.commonPlugins" . | nindent 4 }}
    - name: kubernetes
      parameters: {{ .Values.clusterDNS.domain }} in-addr.arpa ip6.arpa
      configBlock: |-
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
        {{- include "dnsserver.options" (list . .Values.clusterDNS.options) | indent 8 }}
    - name: forward
      parameters: . {{ .Values.clusterDNS.forward }}
      configBlock: max_concurrent 1000
    - name: cache
      parameters: 30
    - name: loop
    - name: reload
    - name: loadbalance
    {{- with .Values.clusterDNS.plugins }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- else -}}
- zones:
    {{- range concat .Values.stubDomain.zones .Values.stubDomain.interfaces .Values.stubDomain.reverseZones | uniq }}
    - zone: {{ quote . }}
    {{- end }}
  plugins:
    {{- include "dnsserver.commonPlugins" . | nindent 4 }}
    - name: kubernetes
      parameters: {{ concat .Values.stubDomain.zones .Values.stubDomain.reverseZones | join " " | quote }}
      configBlock: |-
        kubevirt {{ .Values.stubDomain.kubevirt }}
        ttl {{ .Values.stubDomain.ttl }}
        {{- with .Values.stubDomain.interfaces }}
        interfaces {{ join " " . }}
        {{- end }}
        {{- include "dnsserver.options" (list . .Values.stubDomain.options) | indent 8 }}
    - name: reload
    - name: loadbalance
    {{- with .Values.stubDomain.plugins }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* What the block of either mode has: errors, probes, metrics. */}}
{{- define "dnsserver.commonPlugins" -}}
- name: errors
- name: health
  {{- if ne (int .Values.ports.health) 8080 }}
  parameters: ":{{ .Values.ports.health }}"
  {{- end }}
  configBlock: lameduck {{ .Values.lameduck }}s
- name: ready
  {{- if ne (int .Values.ports.ready) 8181 }}
  parameters: ":{{ .Values.ports.ready }}"
  {{- end }}
- name: prometheus
  parameters: ":{{ .Values.ports.metrics }}"
{{- if .Values.inspect.enabled }}
- name: inspect
  parameters: ":{{ .Values.inspect.port }}"
  {{- $service := include "dnsserver.inspectName" . }}
  configBlock: host {{ $service }} {{ $service }}.{{ .Release.Namespace }} {{ $service }}.{{ .Release.Namespace }}.svc {{ $service }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDNS.domain }}
{{- end }}
{{- end -}}

{{/* Options of `kubernetes` on lines of their own: those of other values, and the given ones. */}}
{{- define "dnsserver.options" -}}
{{- if (index . 0).Values.events.enabled }}
{{ "events" }}
{{- end }}
{{- with index . 1 | trim }}
{{ . }}
{{- end }}
{{- end -}}

{{/* A scalar as it was written: whole numbers are floating ones here, and large ones would get an exponent. */}}
{{- define "dnsserver.scalar" -}}
{{- if kindIs "float64" . -}}
{{- eq (floor .) . | ternary (int64 . | toString) (toString .) -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* The text; empty where a ConfigMap of somebody else has it. */}}
{{- define "dnsserver.corefile" -}}
{{- if .Values.corefile -}}
{{- .Values.corefile | trimSuffix "\n" -}}
{{- else if not .Values.existingConfigMap -}}
{{- $port := .Values.ports.dns -}}
{{- range $index, $server := include "dnsserver.servers" . | fromYamlArray -}}
{{- if $index }}{{ "\n" }}{{ end -}}
{{- range default (list dict) $server.zones -}}
{{ .scheme }}{{ default "." .zone }}:{{ default $port $server.port }} {{/**/}}
{{- end -}}
{
{{- range $server.plugins }}
    {{ .name }}{{ if ne (toString .parameters) "<nil>" }} {{ include "dnsserver.scalar" .parameters }}{{ end }}
{{- if .configBlock }} {
{{ trim .configBlock | indent 8 }}
    }
{{- end }}
{{- end }}
}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The ports of the Corefile, as YAML: name, containerPort, servicePort, protocol. */}}
{{- define "dnsserver.ports" -}}
{{- $dns := int .Values.ports.dns -}}
{{- $service := .Values.service.port -}}
{{- $seen := dict -}}
{{- if or .Values.corefile .Values.existingConfigMap }}
- {name: dns, containerPort: {{ $dns }}, servicePort: {{ $service }}, protocol: UDP}
- {name: dns-tcp, containerPort: {{ $dns }}, servicePort: {{ $service }}, protocol: TCP}
{{- else }}
{{- range $server := include "dnsserver.servers" . | fromYamlArray }}
{{- $port := int (default $dns $server.port) }}
{{- range default (list dict) $server.zones }}
{{- $tls := eq "tls://" (default "dns://" .scheme) }}
{{- if not (hasKey $seen (toString $port)) }}
{{- $_ := set $seen (toString $port) true }}
{{- if $tls }}
- {name: tls-{{ $port }}, containerPort: {{ $port }}, servicePort: {{ default $port $server.servicePort }}, protocol: TCP}
{{- else if eq $port $dns }}
- {name: dns, containerPort: {{ $dns }}, servicePort: {{ default $service $server.servicePort }}, protocol: UDP}
- {name: dns-tcp, containerPort: {{ $dns }}, servicePort: {{ default $service $server.servicePort }}, protocol: TCP}
{{- else }}
- {name: udp-{{ $port }}, containerPort: {{ $port }}, servicePort: {{ default $port $server.servicePort }}, protocol: UDP}
- {name: tcp-{{ $port }}, containerPort: {{ $port }}, servicePort: {{ default $port $server.servicePort }}, protocol: TCP}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.ports.extra }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The rights that the Corefile needs, as YAML. An option counts for the whole only where every `kubernetes` has it.
*/}}
{{- define "dnsserver.rules" -}}
{{- $text := include "dnsserver.corefile" . -}}
{{- $plugins := regexFindAll `(?m)^\s*kubernetes(\s|$)` $text -1 | len -}}
{{- $files := regexFindAll `(?m)^\s*manifests\s` $text -1 | len -}}
{{- $known := not .Values.existingConfigMap -}}
{{- if or (not $known) (gt $plugins $files) }}
- apiGroups: [""]
  resources: [namespaces, services]
  verbs: [list, watch]
{{- if or (not $known) (gt $plugins (regexFindAll `(?m)^\s*noendpoints\s*$` $text -1 | len)) }}
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end }}
{{- if or (not $known) (gt $plugins (regexFindAll `(?m)^\s*kubevirt\s+off\s*$` $text -1 | len)) }}
- apiGroups: [kubevirt.io]
  resources: [virtualmachineinstances]
  verbs: [list, watch]
{{- end }}
{{- if regexMatch `(?m)^\s*pods\s+verified\s*$` $text }}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}
{{- if regexMatch `(?m)^\s*multicluster\s` $text }}
- apiGroups: [multicluster.x-k8s.io]
  resources: [serviceimports]
  verbs: [list, watch]
{{- end }}
{{- if or (regexMatch `(?m)^\s*events(\s|$)` $text) (and (not $known) .Values.events.enabled) }}
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}
{{- end }}
{{- with .Values.rbac.extraRules }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The first name that is served, for `helm test`. */}}
{{- define "dnsserver.testName" -}}
{{- if .Values.tests.name -}}
{{- .Values.tests.name -}}
{{- else if or .Values.corefile .Values.existingConfigMap -}}
{{- .Values.clusterDNS.domain -}}
{{- else if .Values.servers -}}
{{- dig "zone" "." (first (default (list dict) (first .Values.servers).zones)) -}}
{{- else if eq .Values.mode "clusterDNS" -}}
{{- .Values.clusterDNS.domain -}}
{{- else -}}
{{- first .Values.stubDomain.zones -}}
{{- end -}}
{{- end -}}
