"""One way for every property: the same inputs in each run, and no verdict that depends on how busy the machine is.

With inputs drawn anew, a run fails for somebody who changed something else; `pytest --hypothesis-profile=search` draws
them anew for whoever looks for more. A time limit of a single input would say how busy the machine was and not what the
code did: a test as a whole has its limit (pyproject.toml).
"""

from hypothesis import HealthCheck, settings

settings.register_profile("repeat", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", settings.get_profile("repeat"), derandomize=False)
settings.load_profile("repeat")
