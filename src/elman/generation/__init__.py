"""Text from a language model or a decoder: streaming state, samplers, beam search. It works on token ids."""

from .beam import Hypothesis as Hypothesis
from .beam import beam_search as beam_search
from .beam import penalty as penalty
from .decode import beam_decode as beam_decode
from .decode import draw_decode as draw_decode
from .generate import STOPPED as STOPPED
from .generate import generate as generate
from .generate import stream_tokens as stream_tokens
from .samplers import Sampler as Sampler
from .samplers import Sampling as Sampling
from .samplers import draw as draw
from .samplers import forbid_ids as forbid_ids
from .samplers import keep_top_k as keep_top_k
from .samplers import keep_top_p as keep_top_p
from .stream import TokenStream as TokenStream
from .stream import noisy_state as noisy_state
