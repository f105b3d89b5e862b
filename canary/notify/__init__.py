"""Telling others, and asking them: one file for each way."""
