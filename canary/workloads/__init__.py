"""The edge to the workloads: reads, scales and promotes the two Deployments of a Canary."""
