"""Text as ids: corpora, tokenizers, splits and the streams that training reads."""

from .cache import cache_folder as cache_folder
from .corpora import BUILT_IN as BUILT_IN
from .corpora import FETCH_COMMAND as FETCH_COMMAND
from .corpora import BuiltIn as BuiltIn
from .corpora import corpus_folder as corpus_folder
from .corpus import Corpus as Corpus
from .corpus import load_corpus as load_corpus
from .corpus import whole_text as whole_text
from .gutenberg import GRIMM_URL as GRIMM_URL
from .gutenberg import fetch_grimm as fetch_grimm
from .streams import EvaluationWindow as EvaluationWindow
from .streams import Streams as Streams
from .streams import Window as Window
from .streams import evaluation_windows as evaluation_windows
from .text import Document as Document
from .text import documents as documents
from .token_set import TokenSet as TokenSet
from .tokenizers import Tokenizer as Tokenizer
