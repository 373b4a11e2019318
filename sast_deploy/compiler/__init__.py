"""The compiler: FloatNetwork x Profile -> Program. Pure; the last place where floats exist."""

from sast_deploy.compiler.build import Compilation, LayerFacts, compile_network

__all__ = ["Compilation", "LayerFacts", "compile_network"]
