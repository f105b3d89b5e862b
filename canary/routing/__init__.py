"""The edge to the mesh: reads and writes the traffic weights of a Canary."""
