"""Manifests: pure functions from declarations to Kubernetes objects."""
