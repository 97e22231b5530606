{{- define "trackgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "trackgate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "trackgate.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "trackgate.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "trackgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "trackgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "trackgate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "trackgate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "trackgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "trackgate.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The image of the dict {image, version}. */}}
{{- define "trackgate.image" -}}
{{- if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository (default .version .image.tag) }}
{{- end }}
{{- end }}

{{- define "trackgate.door" -}}
{{- if .Values.tls.secretName }}https{{ else }}plain{{ end }}
{{- end }}

{{- define "trackgate.port" -}}
{{- if .Values.tls.secretName }}8443{{ else }}8080{{ end }}
{{- end }}

{{- define "trackgate.host" -}}
{{- (urlParse .Values.config.public_url).host | regexFind "^[^:]+" }}
{{- end }}

{{/* Whether a load balancer of Google's is in front: "yes", or nothing. */}}
{{- define "trackgate.googleFront" -}}
{{- if or (and .Values.gateway.enabled .Values.gateway.google.enabled) (and .Values.ingress.enabled .Values.ingress.google.enabled) }}yes{{ end }}
{{- end }}

{{- define "trackgate.hasPostgres" -}}
{{- if or .Values.postgres.url .Values.postgres.urlSecret.name }}yes{{ end }}
{{- end }}

{{/* Whether more than one pod can run: "yes", or nothing. */}}
{{- define "trackgate.several" -}}
{{- if or (and .Values.autoscaling.enabled (gt (int .Values.autoscaling.maxReplicas) 1)) (and (not .Values.autoscaling.enabled) (gt (int .Values.replicaCount) 1)) }}yes{{ end }}
{{- end }}

{{/* Whether the gate's state is on a volume that lasts; and MLflow's. */}}
{{- define "trackgate.keepsState" -}}
{{- if and .Values.persistence.enabled (not (include "trackgate.hasPostgres" .)) }}yes{{ end }}
{{- end }}
{{- define "trackgate.mlflowKeepsState" -}}
{{- if and .Values.mlflow.sidecar (or (not .Values.mlflow.backendStoreSecret.name) (not .Values.mlflow.artifactsDestination)) .Values.mlflow.persistence.enabled }}yes{{ end }}
{{- end }}

{{/* What no schema can say. */}}
{{- define "trackgate.validate" -}}
{{- $several := include "trackgate.several" . }}
{{- $postgres := include "trackgate.hasPostgres" . }}
{{- if and $several (not $postgres) }}
{{- fail "more than one replica needs a PostgreSQL database that they share: set postgres.url or postgres.urlSecret.name, or replicaCount: 1 and autoscaling.enabled: false" }}
{{- end }}
{{- if and .Values.postgres.url .Values.postgres.urlSecret.name }}
{{- fail "postgres.url and postgres.urlSecret.name are both set: which one is it?" }}
{{- end }}
{{- if and (not $postgres) (or .Values.postgres.passwordSecret.name .Values.postgres.caSecret.name) }}
{{- fail "postgres.passwordSecret and postgres.caSecret are of no use without postgres.url or postgres.urlSecret.name" }}
{{- end }}
{{- if and (not $postgres) (not .Values.persistence.enabled) }}
{{- fail "grants and tokens would be lost with the pod: set postgres.url, or persistence.enabled: true" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is larger than autoscaling.maxReplicas" }}
{{- end }}
{{- if .Values.mlflow.sidecar }}
{{- if .Values.mlflow.externalUrl }}
{{- fail "mlflow.externalUrl is set, and so is mlflow.sidecar: set mlflow.sidecar: false, or take the address out" }}
{{- end }}
{{- $local := or (not .Values.mlflow.backendStoreSecret.name) (not .Values.mlflow.artifactsDestination) }}
{{- if and $several $local }}
{{- fail "more than one replica, each with its own MLflow: set mlflow.backendStoreSecret.name and mlflow.artifactsDestination, or runs and artifacts would be in one pod and not in the other" }}
{{- end }}
{{- if and $local (not .Values.mlflow.persistence.enabled) }}
{{- fail "runs and artifacts would be lost with the pod: set mlflow.backendStoreSecret.name and mlflow.artifactsDestination, or mlflow.persistence.enabled: true" }}
{{- end }}
{{- if and .Values.mlflow.tmp.storageClassName (not .Values.mlflow.tmp.size) }}
{{- fail "mlflow.tmp.storageClassName is of no use without mlflow.tmp.size" }}
{{- end }}
{{- else if not .Values.mlflow.externalUrl }}
{{- fail "mlflow.sidecar is off and mlflow.externalUrl is empty: where is MLflow?" }}
{{- end }}
{{- if and .Values.iap.enabled (not .Values.iap.audiences) }}
{{- fail "iap.enabled needs iap.audiences; before the backend service exists: [\"/projects/0/global/backendServices/0\"], which lets nobody in (README.md)" }}
{{- end }}
{{- if and (not .Values.iap.enabled) (not .Values.config.issuer) }}
{{- fail "nobody could sign in: set config.issuer or iap.enabled" }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.create) (not .Values.gateway.parentRefs) }}
{{- fail "gateway.enabled needs gateway.parentRefs, or gateway.create: true" }}
{{- end }}
{{- if and .Values.gateway.enabled .Values.gateway.create .Values.gateway.parentRefs }}
{{- fail "gateway.create and gateway.parentRefs: take one of the two" }}
{{- end }}
{{- if and .Values.gateway.enabled .Values.gateway.create (not .Values.gateway.certificateSecrets) (not .Values.gateway.certificateMap) }}
{{- fail "gateway.create needs gateway.certificateSecrets or gateway.certificateMap: browsers reach the gate by https alone" }}
{{- end }}
{{- if and .Values.ingress.enabled .Values.ingress.google.managedCertificate (not .Values.ingress.google.enabled) }}
{{- fail "ingress.google.managedCertificate needs ingress.google.enabled" }}
{{- end }}
{{- range $name := concat .Values.secrets .Values.mlflow.secrets }}
{{- if has .name (list "postgres" "postgres-url" "postgres-ca" "tls") }}
{{- fail (printf "secrets: the name %q is the chart's own" .name) }}
{{- end }}
{{- end }}
{{- end }}

{{/* A TOML value. JSON's texts, numbers and booleans are TOML's too; tables are not. */}}
{{- define "trackgate.tomlValue" -}}
{{- if kindIs "map" . -}}
{ {{- $first := true }}{{ range $key, $value := . }}{{ if not $first }},{{ end }} {{ $key | toJson }} = {{ include "trackgate.tomlValue" $value }}{{ $first = false }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $at, $value := . }}{{ if $at }}, {{ end }}{{ include "trackgate.tomlValue" $value }}{{ end }}]
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end }}

{{/* The keys of a table that are no tables, one a line. */}}
{{- define "trackgate.tomlKeys" -}}
{{- range $key, $value := . }}
{{- if not (or (kindIs "invalid" $value) (kindIs "map" $value)) }}
{{ $key }} = {{ include "trackgate.tomlValue" $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* One table of the dict {name, table, list}, with the tables in it. */}}
{{- define "trackgate.tomlTable" -}}
{{- if .list }}
[[{{ .name }}]]
{{- else }}
[{{ .name }}]
{{- end }}
{{- include "trackgate.tomlKeys" .table }}
{{- $name := .name }}
{{- range $key, $value := .table }}
{{- if and (kindIs "map" $value) $value }}
[{{ $name }}.{{ $key }}]
{{- range $inner, $value := $value }}
{{- if not (kindIs "invalid" $value) }}
{{ $inner | regexMatch "^[A-Za-z0-9_-]+$" | ternary $inner ($inner | toJson) }} = {{ include "trackgate.tomlValue" $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the chart says in the file, over what the values say. */}}
{{- define "trackgate.settings" -}}
{{- $config := deepCopy .Values.config }}
{{- $listen := get $config "listen" | default dict }}
{{- $listen = set $listen "monitor" "0.0.0.0:9477" }}
{{- if .Values.tls.secretName }}
{{- $listen = mergeOverwrite $listen (dict "https" "0.0.0.0:8443" "certificate" "/secrets/tls/tls.crt" "private_key" "/secrets/tls/tls.key") }}
{{- else }}
{{- $listen = set $listen "plain" "0.0.0.0:8080" }}
{{- end }}
{{- if and (not (hasKey $listen "trusted_proxies")) (include "trackgate.googleFront" .) }}
{{- $listen = set $listen "trusted_proxies" (list "35.191.0.0/16" "130.211.0.0/22") }}
{{- end }}
{{- $store := get $config "store" | default dict }}
{{- with .Values.postgres }}
{{- if .url }}{{ $store = set $store "url" .url }}{{ end }}
{{- if .urlSecret.name }}{{ $store = set $store "url" (printf "file:/secrets/postgres-url/%s" .urlSecret.key) }}{{ end }}
{{- if .passwordSecret.name }}{{ $store = set $store "password_file" (printf "/secrets/postgres/%s" .passwordSecret.key) }}{{ end }}
{{- if .caSecret.name }}{{ $store = set $store "ca_file" (printf "/secrets/postgres-ca/%s" .caSecret.key) }}{{ end }}
{{- end }}
{{- $upstream := get $config "upstream" | default dict }}
{{- $upstream = set $upstream "url" (ternary "http://127.0.0.1:5000" .Values.mlflow.externalUrl .Values.mlflow.sidecar) }}
{{- $config = mergeOverwrite $config (dict "listen" $listen "store" $store "upstream" $upstream "state_dir" "/var/lib/trackgate/state") }}
{{- if .Values.iap.enabled }}
{{- $iap := dict "audiences" .Values.iap.audiences "listener" (include "trackgate.door" .) "hosted_domains" .Values.iap.hosted_domains }}
{{- if .Values.iap.keys_url }}{{ $iap = set $iap "keys_url" .Values.iap.keys_url }}{{ end }}
{{- $config = set $config "iap" $iap }}
{{- end }}
{{- toJson $config }}
{{- end }}

{{/* trackgate.toml: first what is in no table, as TOML wants it. */}}
{{- define "trackgate.toml" -}}
# Made by Helm from the values of the release.
{{- $config := include "trackgate.settings" . | fromJson }}
{{- range $key, $value := $config }}
{{- $tables := and (kindIs "slice" $value) $value (kindIs "map" (first $value)) }}
{{- if not (or (kindIs "invalid" $value) (kindIs "map" $value) $tables) }}
{{- if not (and (has $key (list "issuer" "binding")) (not $value)) }}
{{ $key }} = {{ include "trackgate.tomlValue" $value }}
{{- end }}
{{- end }}
{{- end }}
{{- range $key, $value := $config }}
{{- if and (kindIs "map" $value) $value }}
{{ include "trackgate.tomlTable" (dict "name" $key "table" $value "list" false) }}
{{- else if and (kindIs "slice" $value) $value }}
{{- if kindIs "map" (first $value) }}
{{- range $value }}
{{ include "trackgate.tomlTable" (dict "name" $key "table" . "list" true) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Hardened as the strictest of Kubernetes' pod security standards asks, and further. */}}
{{- define "trackgate.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "trackgate.googleRanges" -}}
- ipBlock: {cidr: 35.191.0.0/16}
- ipBlock: {cidr: 130.211.0.0/22}
{{- end }}
