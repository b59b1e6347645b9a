"""How Argo CD judges what a rollout waits for: health checks in Lua, which the root Application brings along."""

from infra.manifests import names
from infra.manifests.manifest import SYNC_WAVE, Manifest, manifest

# A sync that waits keeps Argo CD from the next commit, which may be the revert; one that failed is tried again.
PATIENCE = 90  # seconds

# Without a look at status.observedGeneration: KServe 0.20 writes that of the Deployment there, not of the object.
INFERENCE_SERVICE = f"""\
local os = require("os")
local late = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - {PATIENCE})
local hs = {{ status = "Progressing", message = "KServe has not reported yet" }}
local status = obj.status
if status == nil or status.conditions == nil then
  if obj.metadata.creationTimestamp ~= nil and obj.metadata.creationTimestamp < late then
    hs.status = "Degraded"
    hs.message = "KServe has not reported for {PATIENCE} seconds; is its controller running?"
  end
  return hs
end
local ready, missing, stuck = nil, "", false
for _, condition in ipairs(status.conditions) do
  if condition.type == "Stopped" and condition.status == "True" then
    return {{ status = "Suspended", message = "stopped by its annotation" }}
  end
  if condition.type == "Ready" then
    ready = condition
  elseif condition.type ~= "Stopped" and condition.status ~= "True" then
    missing = missing .. "; " .. condition.type .. " is " .. condition.status
    for _, word in ipairs({{ condition.reason or "", condition.message or "" }}) do
      if word ~= "" then missing = missing .. ", " .. word end
    end
  end
  if condition.reason == "ProgressDeadlineExceeded" then hs.status = "Degraded" end
  -- A Deployment whose pods are all new and ready says NewReplicaSetAvailable here.
  if condition.reason == "MinimumReplicasAvailable" and (condition.lastTransitionTime or late) < late then
    stuck = true
  end
end
if stuck then
  hs.status = "Degraded"
  hs.message = "new pods are not ready for {PATIENCE} seconds, by their image, node or start; the old ones serve"
  return hs
end
if ready ~= nil and ready.status == "True" then
  return {{ status = "Healthy", message = "ready" }}
end
local model = status.modelStatus or {{}}
local failure = model.lastFailureInfo
hs.message = "not ready" .. missing
if model.transitionStatus == "BlockedByFailedLoad" or model.transitionStatus == "InvalidSpec" then
  hs.status = "Degraded"
  hs.message = "the model did not load"
  if failure ~= nil then
    hs.message = hs.message .. ": " .. (failure.reason or "no reason")
    if failure.exitCode ~= nil then hs.message = hs.message .. ", exit code " .. failure.exitCode end
    if failure.message ~= nil then hs.message = hs.message .. ", " .. failure.message end
  end
elseif ready ~= nil and ready.lastTransitionTime ~= nil and ready.lastTransitionTime < late then
  hs.status = "Degraded"
  hs.message = "not ready for {PATIENCE} seconds, by its image, its node or its start" .. missing
end
return hs
"""

HTTP_ROUTE = f"""\
local os = require("os")
local late = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - {PATIENCE})
local hs = {{ status = "Healthy", message = "accepted by every Gateway" }}
local parents = (obj.status or {{}}).parents or {{}}
if #parents == 0 then
  hs.status = "Progressing"
  hs.message = "no Gateway has taken the route yet"
  if obj.metadata.creationTimestamp ~= nil and obj.metadata.creationTimestamp < late then
    hs.status = "Degraded"
    hs.message = "no Gateway has taken the route for {PATIENCE} seconds; does its parent exist?"
  end
  return hs
end
for _, parent in ipairs(parents) do
  local name, accepted = parent.parentRef.name or "?", false
  for _, condition in ipairs(parent.conditions or {{}}) do
    local known = condition.type == "Accepted" or condition.type == "ResolvedRefs"
    local seen = condition.observedGeneration or obj.metadata.generation
    if known and seen ~= obj.metadata.generation then
      hs.status = "Progressing"
      hs.message = "Gateway " .. name .. " has not seen this generation yet"
      return hs
    end
    if known and condition.status == "False" then
      hs.status = "Degraded"
      local why = (condition.reason or condition.type) .. ", " .. (condition.message or "")
      hs.message = "Gateway " .. name .. ": " .. why
      return hs
    end
    if condition.type == "Accepted" and condition.status == "True" then accepted = true end
  end
  if not accepted then
    hs.status = "Progressing"
    hs.message = "Gateway " .. name .. " has not accepted the route yet"
  end
end
return hs
"""

CHECKS = {
    "resource.customizations.health.gateway.networking.k8s.io_HTTPRoute": HTTP_ROUTE,
    "resource.customizations.health.serving.kserve.io_InferenceService": INFERENCE_SERVICE,
}


def health() -> Manifest:
    """Two keys of Argo CD's own settings. Applied by the server, so every other key stays whoever's it is."""
    return manifest(
        "v1/ConfigMap",
        "argocd-cm",
        names.ARGOCD,
        labels={"app.kubernetes.io/part-of": "argocd"},  # without it Argo CD does not read its settings
        annotations={SYNC_WAVE: "-51", "argocd.argoproj.io/sync-options": "Delete=false,Prune=false"},
        data=dict(CHECKS),
    )
