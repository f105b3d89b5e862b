"""Edges to metrics stores: exact counts of requests per version."""
