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
{{- $http := list (list "ports.health" $values.ports.health) (list "ports.ready" $values.ports.ready) (list "ports.metrics" $values.ports.metrics) -}}
{{- if $values.inspect.enabled -}}
{{- $http = append $http (list "inspect.port" $values.inspect.port) -}}
{{- end -}}
{{- $inside := dict -}}
{{- $outside := dict -}}
{{- $names := dict "health" true "ready" true "metrics" true "inspect" true -}}
{{- range $http -}}
{{- $key := printf "%d/TCP" (int (index . 1)) -}}
{{- if hasKey $inside $key -}}
{{- fail (printf "%s and %s are the same port" (index . 0) (get $inside $key)) -}}
{{- end -}}
{{- $_ := set $inside $key (index . 0) -}}
{{- end -}}
{{- if and $values.inspect.enabled (include "dnsserver.inspectShares" .) -}}
{{- $_ := set $outside (printf "%d/TCP" (int $values.inspect.port)) "inspect" -}}
{{- end -}}
{{- range include "dnsserver.ports" . | fromYamlArray -}}
{{- $in := printf "%d/%s" (int .containerPort) .protocol -}}
{{- $out := printf "%d/%s" (int .servicePort) .protocol -}}
{{- if or (hasKey $inside $in) (hasKey $outside $out) (hasKey $names .name) -}}
{{- fail (printf "the port %s (%s, %s of the Service) has the number or the name of another one" .name $in $out) -}}
{{- end -}}
{{- $_ := set $inside $in .name -}}
{{- $_ := set $outside $out .name -}}
{{- $_ := set $names .name true -}}
{{- end -}}
{{- range $key, $_ := include "dnsserver.selector" . | fromYaml -}}
{{- if or (hasKey $values.podLabels $key) (hasKey $values.commonLabels $key) -}}
{{- fail (printf "podLabels and commonLabels cannot have %s: pods are selected by it" $key) -}}
{{- end -}}
{{- end -}}
{{- range $values.stubDomain.interfaces -}}
{{- if has . $values.stubDomain.zones -}}
{{- fail (printf "stubDomain.interfaces has %s, which is one of stubDomain.zones: names would collide" .) -}}
{{- end -}}
{{- end -}}
{{- if and $values.existingConfigMap (or $values.zoneFiles $values.rollOnConfigChange) -}}
{{- fail "zoneFiles and rollOnConfigChange are for the chart's own ConfigMap, not for existingConfigMap" -}}
{{- end -}}
{{- if and $values.rbac.extraRules (not $values.rbac.create) -}}
{{- fail "rbac.extraRules needs rbac.create" -}}
{{- end -}}
{{- if and $values.networkPolicy.enabled $values.hostNetwork -}}
{{- fail "networkPolicy does nothing for pods on the node's network: disable it, or hostNetwork" -}}
{{- end -}}
{{- if gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- with $values.proportionalAutoscaler -}}
{{- if and .max (gt (int .min) (int .max)) -}}
{{- fail "proportionalAutoscaler.min is more than proportionalAutoscaler.max" -}}
{{- end -}}
{{- end -}}
{{- with $values.service -}}
{{- if and (ne .type "LoadBalancer") (or .loadBalancerClass .loadBalancerSourceRanges) -}}
{{- fail "service.loadBalancerClass and service.loadBalancerSourceRanges need service.type LoadBalancer" -}}
{{- end -}}
{{- if and (eq .type "ClusterIP") .externalTrafficPolicy (not .externalIPs) -}}
{{- fail "service.externalTrafficPolicy needs service.type LoadBalancer or NodePort, or service.externalIPs" -}}
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
