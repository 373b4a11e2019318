"""The compiler: FloatNetwork x Profile -> Program. Pure; the last place where floats exist."""

from sast_deploy.compiler.build import Compilation, LayerFacts, compile_network
from sast_deploy.compiler.choice import LayerChoice

__all__ = ["Compilation", "LayerChoice", "LayerFacts", "compile_network"]
