"""Recordings of events in files, one module a kind."""
