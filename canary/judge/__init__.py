"""The statistics that decide: pure functions from counts to a verdict. `judge.judge` is the only door."""
