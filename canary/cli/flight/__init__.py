"""What `canary lab` flies: the laboratory with a controller in it, and the demonstration.

The lab knows nothing of the controller and the controller nothing of the lab; they meet here, as two processes and an
API server between them.
"""
