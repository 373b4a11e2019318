"""A simulated event camera before a moving picture; tools/camera measured its parameters."""
