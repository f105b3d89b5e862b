"""How the controller is watched from outside: its log lines and its own metrics.

Both are written by the shell (`controller`, `bootstrap`) and by nothing below it; the edges hand out what they know
through callables, so that none of them imports this room.
"""
