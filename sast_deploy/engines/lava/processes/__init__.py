"""Lava processes that run an integer program, a batch of samples at a time.

Every port carries (batch, neurons), neurons in C, H, W order. Lava's compiler executes every module of
this package whenever it looks for a process model, so: each Process stands beside its ProcessModel,
imports are absolute, importing has no side effects, and dataclasses live elsewhere: under the finder a
module is not in sys.modules, which they need.
"""
