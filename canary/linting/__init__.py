"""Advice on Canaries that are valid: what is legal but unwise. Pure."""
