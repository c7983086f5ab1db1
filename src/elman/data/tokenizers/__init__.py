"""Text to token ids and back: one file a kind."""

from .base import Tokenizer as Tokenizer
from .base import tokenizer_kind as tokenizer_kind
from .bigram import BigramTokenizer as BigramTokenizer
from .bpe import BPETokenizer as BPETokenizer
from .char import CharTokenizer as CharTokenizer
from .members import MembersTokenizer as MembersTokenizer
from .spaced import SpacedTokenizer as SpacedTokenizer
from .word import WordTokenizer as WordTokenizer
