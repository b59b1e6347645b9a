#!/usr/bin/env bash
# A kind cluster for `make e2e`: Argo CD, KServe in Standard mode, Gateway API and Traefik, by pinned upstream manifests.
# Writes the variables of docs/kubernetes.md to the file that it is given.
set -euo pipefail
out=${1:?usage: kind.sh FILE}
remote=/tmp/mainline-e2e
github=https://github.com
apply() { kubectl apply --server-side --force-conflicts "$@"; }

mkdir -p "$remote" "$(dirname "$out")" && git init -q --bare --initial-branch=main "$remote/remote.git"
kind create cluster --name mainline-e2e --wait 120s --config - <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
  - role: control-plane
    extraPortMappings: [{containerPort: 80, hostPort: 80, listenAddress: 127.0.0.1}]
    extraMounts: [{hostPath: $remote, containerPath: $remote}]
YAML

apply -f $github/kubernetes-sigs/gateway-api/releases/download/v1.4.0/standard-install.yaml
apply -f $github/cert-manager/cert-manager/releases/download/v1.19.1/cert-manager.yaml
kubectl -n cert-manager rollout status deploy --timeout=180s
kubectl create namespace argocd
apply -n argocd -f $github/argoproj/argo-cd/raw/v3.2.1/manifests/install.yaml
# A repository that is a folder of the node, as this machine's; and who owns it does not matter.
kubectl -n argocd patch deployment argocd-repo-server --type strategic -p "
spec: {template: {spec: {
  volumes: [{name: e2e, hostPath: {path: $remote}}],
  containers: [{name: argocd-repo-server, volumeMounts: [{name: e2e, mountPath: $remote}], env: [
    {name: GIT_CONFIG_COUNT, value: '1'}, {name: GIT_CONFIG_KEY_0, value: safe.directory}, {name: GIT_CONFIG_VALUE_0, value: '*'}]}]}}}"
kubectl -n argocd patch configmap argocd-cm --type merge -p '{"data": {"timeout.reconciliation": "5s", "timeout.reconciliation.jitter": "0s"}}'
kubectl -n argocd rollout restart statefulset argocd-application-controller

kubectl create namespace kserve
kserve=$github/kserve/kserve/releases/download/v0.20.0/kserve.yaml
apply -f $kserve || apply -f $kserve # the file holds an object of a kind that it defines itself
kubectl -n kserve rollout status deploy/kserve-controller-manager --timeout=180s
kubectl -n kserve patch configmap inferenceservice-config --type merge -p '{"data": {
  "deploy": "{\"defaultDeploymentMode\": \"Standard\"}",
  "ingress": "{\"disableIngressCreation\": true, \"disableIstioVirtualHost\": true, \"ingressDomain\": \"example.com\", \"ingressGateway\": \"none/none\"}"}}'
kubectl -n kserve rollout restart deploy/kserve-controller-manager
kubectl -n kserve rollout status deploy/kserve-controller-manager --timeout=180s

apply -f $github/traefik/traefik/raw/v3.6.12/docs/content/reference/dynamic-configuration/kubernetes-gateway-rbac.yml
apply -f "$(dirname "$0")/traefik.yaml"
kubectl -n kube-system rollout status deploy/traefik --timeout=180s

kind load docker-image --name mainline-e2e mainline/v2serve:0.1.0 mainline/training:0.1.0
host=$(docker network inspect kind --format '{{range .IPAM.Config}}{{.Gateway}} {{end}}' | tr ' ' '\n' | grep -m1 -F .)
kind get kubeconfig --name mainline-e2e > "$out.kubeconfig"
cat > "$out" <<VARIABLES
KUBECONFIG=$(realpath "$out.kubeconfig")
MAINLINE_E2E_REMOTE=file://$remote/remote.git
MAINLINE_E2E_HOST=$host
MAINLINE_E2E_RESTART='bash -c "kubectl -n argocd rollout restart statefulset argocd-application-controller && kubectl -n kserve rollout restart deploy/kserve-controller-manager"'
VARIABLES
