"""The flight simulator: real Envoy, real Prometheus, small real workloads, and a Kubernetes API emulator.

It lets the whole loop run on one machine without a cluster. Everything in here is a plain client of the Kubernetes API
and knows nothing of the controller under test: a simulator that shared code with the pilot would share its mistakes.
"""
