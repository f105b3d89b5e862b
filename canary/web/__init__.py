"""What the controller serves over HTTP: whether it is alive and ready, and its own metrics."""
