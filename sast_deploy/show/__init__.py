"""Formats for people: the only place that prints."""
