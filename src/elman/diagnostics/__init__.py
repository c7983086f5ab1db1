"""Look into a network: what its cells compute, and how that is wired."""

from .equations import Equations as Equations
from .equations import equations as equations
from .gradient_flow import GradientFlow as GradientFlow
from .gradient_flow import gradient_flow as gradient_flow
from .unrolled import unrolled as unrolled
from .wiring import wiring as wiring
