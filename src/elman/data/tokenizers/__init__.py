"""Text to token ids and back: one file a kind."""

from elman.data.tokenizers.base import Tokenizer as Tokenizer
from elman.data.tokenizers.base import tokenizer_kind as tokenizer_kind
from elman.data.tokenizers.bigram import BigramTokenizer as BigramTokenizer
from elman.data.tokenizers.bpe import BPETokenizer as BPETokenizer
from elman.data.tokenizers.char import CharTokenizer as CharTokenizer
from elman.data.tokenizers.word import WordTokenizer as WordTokenizer
