"""Kubernetes: manifests rendered and applied, what runs shown, and a ConfigMap followed as the fleet."""
