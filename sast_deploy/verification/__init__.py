"""Engines compared value by value, and what a difference means."""
