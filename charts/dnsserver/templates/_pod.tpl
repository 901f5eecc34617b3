{{/* The pod of a Deployment or DaemonSet. */}}
{{- define "dnsserver.pod" -}}
metadata:
  labels:
    {{- include "dnsserver.labels" . | nindent 4 }}
    {{- if eq .Values.mode "clusterDNS" }}
    k8s-app: kube-dns
    {{- end }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .Values.podAnnotations .Values.commonAnnotations .Values.rollOnConfigChange }}
  annotations:
    {{- with merge (dict) .Values.podAnnotations .Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if .Values.rollOnConfigChange }}
    checksum/config: {{ printf "%s%s" (include "dnsserver.corefile" .) (toJson .Values.zoneFiles) | sha256sum }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "dnsserver.serviceAccountName" . }}
  automountServiceAccountToken: {{ include "dnsserver.rules" . | fromYamlArray | empty | not }}
  enableServiceLinks: false
  {{- with include "dnsserver.priorityClassName" . }}
  priorityClassName: {{ . }}
  {{- end }}
  hostNetwork: {{ .Values.hostNetwork }}
  dnsPolicy: {{ .Values.dnsPolicy }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml (.Values.hostNetwork | ternary (omit .Values.podSecurityContext "sysctls") .Values.podSecurityContext) | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: dnsserver
      image: {{ include "dnsserver.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - -conf
        - /etc/coredns/Corefile
        {{- if ne (int .Values.ports.dns) 53 }}
        - -dns.port
        - {{ .Values.ports.dns | quote }}
        {{- end }}
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- range include "dnsserver.ports" . | fromYamlArray }}
        - {name: {{ .name }}, containerPort: {{ .containerPort }}, protocol: {{ .protocol }}}
        {{- end }}
        - {name: health, containerPort: {{ .Values.ports.health }}, protocol: TCP}
        - {name: ready, containerPort: {{ .Values.ports.ready }}, protocol: TCP}
        - {name: metrics, containerPort: {{ .Values.ports.metrics }}, protocol: TCP}
        {{- if .Values.inspect.enabled }}
        - {name: inspect, containerPort: {{ .Values.inspect.port }}, protocol: TCP}
        {{- end }}
      {{- range $probe, $path := dict "startupProbe" "ready" "readinessProbe" "ready" "livenessProbe" "health" }}
      {{- with index $.Values $probe }}
      {{- if .enabled }}
      {{ $probe }}:
        httpGet:
          path: /{{ $path }}
          port: {{ $path }}
        {{- toYaml (omit . "enabled") | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/coredns
          readOnly: true
        {{- range .Values.extraSecrets }}
        - name: {{ include "dnsserver.secretVolume" .name }}
          mountPath: {{ .mountPath }}
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "dnsserver.configMapName" . }}
    {{- range .Values.extraSecrets }}
    - name: {{ include "dnsserver.secretVolume" .name }}
      secret:
        secretName: {{ .name }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if eq .Values.kind "Deployment" }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "dnsserver.selector" $ | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
{{- end -}}
