"""The words of the project as frozen types: spec, observation, evidence, verdict, state and action.

Everything here is pure: no clock, network, disk, logger or randomness. Documents are parsed once, at the edge, by
`resource` (the Canary) and `status` (its status subresource); inside, nobody checks again.
"""
