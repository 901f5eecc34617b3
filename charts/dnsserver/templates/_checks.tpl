{{/* Values that cannot go together, each with what to do. */}}
{{- define "dnsserver.check" -}}
{{- $text := include "dnsserver.corefile" . -}}
{{- $values := .Values -}}
{{- if gt (len (compact (list (empty $values.servers | ternary "" "servers") $values.corefile $values.existingConfigMap))) 1 -}}
{{- fail "give one of servers, corefile and existingConfigMap: each is the whole configuration" -}}
{{- end -}}
{{- if and $values.autoscaling.enabled $values.proportionalAutoscaler.enabled -}}
{{- fail "autoscaling and proportionalAutoscaler cannot both be enabled: they would undo each other's work" -}}
{{- end -}}
{{- if and (eq $values.kind "DaemonSet") (include "dnsserver.autoscaled" .) -}}
{{- fail "a DaemonSet has a pod on each node: there is nothing for an autoscaler to do" -}}
{{- end -}}
{{- if $values.hostNetwork -}}
{{- range include "dnsserver.ports" . | fromYamlArray -}}
{{- if lt (int .containerPort) 1024 -}}
{{- fail (printf "with hostNetwork a user that is not root cannot have port %d: set ports.dns (or the port in servers) to 1024 or more" (int .containerPort)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range regexFindAll `lameduck\s+[0-9]+s` $text -1 -}}
{{- $seconds := regexFind `[0-9]+` . | int -}}
{{- if ge (add $seconds 10) (int64 $values.terminationGracePeriodSeconds) -}}
{{- fail (printf "terminationGracePeriodSeconds must be more than lameduck and 10 s, %d" (add $seconds 10)) -}}
{{- end -}}
{{- end -}}
{{- if not $values.existingConfigMap -}}
{{- $ready := regexMatch `(?m)^\s*ready(\s|$)` $text -}}
{{- if and (or $values.readinessProbe.enabled $values.startupProbe.enabled) (not $ready) -}}
{{- fail "readinessProbe and startupProbe ask the plugin ready, which the Corefile does not have: add it, or disable them" -}}
{{- end -}}
{{- if and $values.livenessProbe.enabled (not (regexMatch `(?m)^\s*health(\s|$)` $text)) -}}
{{- fail "livenessProbe asks the plugin health, which the Corefile does not have: add it, or disable the probe" -}}
{{- end -}}
{{- range $name, $on := dict "inspect" $values.inspect.enabled "events" $values.events.enabled -}}
{{- if and $on (not (regexMatch (printf `(?m)^\s*%s(\s|$)` $name) $text)) -}}
{{- fail (printf "%s.enabled is for the Corefile that mode makes: write %s into yours" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $values.metrics.serviceMonitor.enabled (not $values.metrics.service.enabled) -}}
{{- fail "metrics.serviceMonitor needs metrics.service.enabled" -}}
{{- end -}}
{{- if and $values.metrics.serviceMonitor.enabled $values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor would count everything twice: enable one" -}}
{{- end -}}
{{- if or $values.metrics.serviceMonitor.enabled $values.metrics.podMonitor.enabled $values.metrics.prometheusRule.enabled -}}
{{- if not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
{{- fail "the cluster has no monitoring.coreos.com/v1: install the Prometheus operator first, or give helm template --api-versions" -}}
{{- end -}}
{{- end -}}
{{- end -}}
