"""Quantization-aware fine-tuning: the compiler's own integers in the forward pass of training."""

from sast_deploy.finetuning.finetune import finetune
from sast_deploy.finetuning.network import IntegerNetwork
from sast_deploy.finetuning.recipe import FINETUNE, FineRecipe, FineTuning

__all__ = ["FINETUNE", "FineRecipe", "FineTuning", "IntegerNetwork", "finetune"]
