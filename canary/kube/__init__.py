"""The Kubernetes API: client, Canary objects, Events, watches and Leases; the only room that knows the vendor."""
