"""Sharpness-aware minimisation for surrogate-forward training (SAST)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Closure = Callable[[], Tensor]


class SAM:
    """One SAST step: climb on one minibatch, take the gradient on another, step from where we were.

        eps = rho g / (||g||_2 + delta),   g = grad L_B(w),   w <- optimizer(w, grad L_B'(w + eps))

    ||g||_2 is the norm over all parameters together. B and B' are independent minibatches, or the same one:
    that is up to the losses. The network keeps no neuron state between calls, so every pass starts from
    u = s = 0: nothing is left to reset. rho = 0 is the baseline: the wrapped optimizer alone, on B', with no
    first pass.

    adaptive (ASAM): a weight moves in proportion to its size, so that scaling a layer changes nothing:

        eps = rho T^2 g / (||T g||_2 + delta),   T = |w| + eta for weights, 1 for biases.

    Sources: Foret et al., arXiv 2010.01412; Nicholson, arXiv 2603.18039 (independent B'); Kwon et al., arXiv
    2102.11600 (adaptive; the authors' own code leaves the biases out of T, too).
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        optimizer: torch.optim.Optimizer,
        rho: float,
        delta: float = 1e-12,
        *,
        adaptive: bool = False,
        eta: float = 0.01,
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.optimizer = optimizer
        self.rho = rho
        self.delta = delta
        self.adaptive = adaptive
        self.eta = eta

    def step(self, loss_climb: Closure, loss_descend: Closure) -> tuple[Tensor, Tensor]:
        """Take one step; returns the descent loss and the norm of its gradient.

        `loss_climb` and `loss_descend` evaluate the loss on B and on B' at the current weights, with the
        graph attached; `loss_climb` is not called when rho is 0.
        """
        origin = self._climb(loss_climb) if self.rho > 0 else None
        self.optimizer.zero_grad()
        loss = loss_descend()
        loss.backward()  # type: ignore[no-untyped-call]
        if origin is not None:
            for p, w in zip(self.parameters, origin, strict=True):
                p.data = w  # w + eps - eps differs from w by rounding
        self.optimizer.step()
        return loss.detach(), self._grad_norm()

    def _climb(self, loss_climb: Closure) -> list[Tensor]:
        """Put w + eps, in memory of its own, in the place of w; returns the w to come back to."""
        self.optimizer.zero_grad()
        loss_climb().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self._stretch()
            scale = self.rho / (self._grad_norm() + self.delta)
            self._stretch()
            origin = [p.data for p in self.parameters]
            moving = [p for p in self.parameters if p.grad is not None]
            moved = list(torch._foreach_mul(self._grads(), scale))
            torch._foreach_add_(moved, [p.data for p in moving])
            for p, w in zip(moving, moved, strict=True):
                p.data = w
        return origin

    def _stretch(self) -> None:
        """Multiply the gradients by T, where this is ASAM."""
        for p in self.parameters if self.adaptive else ():
            if p.grad is not None and p.ndim > 1:  # weights are matrices and kernels, biases are vectors
                p.grad.mul_(p.abs() + self.eta)

    @torch.no_grad()
    def _grad_norm(self) -> Tensor:
        """||g||_2 over all parameters together, not layer by layer."""
        norm: Tensor = torch.stack(torch._foreach_norm(self._grads())).norm()
        return norm

    def _grads(self) -> list[Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None]
