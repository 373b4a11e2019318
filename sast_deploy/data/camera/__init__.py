"""A simulated event camera before a moving picture, and how its parameters were measured."""
