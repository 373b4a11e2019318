"""sast-deploy: from SAST checkpoints to bit-accurate Loihi-like programs that Lava runs."""

__version__ = "0.1.0"
