"""The Kubernetes API: client, Canary objects, Events, watches and the Lease; the only room that knows the vendor."""
