"""What people see: `view` makes a small model of a Canary from its document; `table`, `page` and `description` draw it.

Drawing is a pure function of the model and the width, so that a picture can be compared with the one on file. Only
`reading` and `following` know a cluster.
"""
