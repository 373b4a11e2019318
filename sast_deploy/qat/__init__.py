"""Quantization-aware fine-tuning: the compiler's own integers in the forward pass of training."""

from sast_deploy.qat.finetune import finetune
from sast_deploy.qat.network import IntegerNetwork
from sast_deploy.qat.recipe import FINETUNE, FineTuning

__all__ = ["FINETUNE", "FineTuning", "IntegerNetwork", "finetune"]
