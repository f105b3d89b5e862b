"""Canary analysis controller for Kubernetes with Istio."""

__version__ = "0.1.0"
