"""The command line: one verb per file.

A verb is a module of this package with a click command called `command`; its file name is its name. `group` finds them,
so adding a verb is adding a file. What is no verb has no `command` and is as quick to load, or lives in `screen`, which
only a verb that runs looks into.

Nothing but click is imported by a verb before it runs: `canary --help` and the completion of a shell answer at once,
while pydantic, rich and the Kubernetes client take most of a second to load.
"""
