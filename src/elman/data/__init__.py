"""Text as ids: corpora, tokenizers, splits and the streams that training reads."""

from elman.data.cache import cache_folder as cache_folder
from elman.data.corpora import BUILT_IN as BUILT_IN
from elman.data.corpora import FETCH_COMMAND as FETCH_COMMAND
from elman.data.corpora import BuiltIn as BuiltIn
from elman.data.corpora import corpus_folder as corpus_folder
from elman.data.corpus import Corpus as Corpus
from elman.data.corpus import load_corpus as load_corpus
from elman.data.corpus import whole_text as whole_text
from elman.data.gutenberg import GRIMM_URL as GRIMM_URL
from elman.data.gutenberg import fetch_grimm as fetch_grimm
from elman.data.streams import EvaluationWindow as EvaluationWindow
from elman.data.streams import Streams as Streams
from elman.data.streams import Window as Window
from elman.data.streams import evaluation_windows as evaluation_windows
from elman.data.text import Document as Document
from elman.data.text import documents as documents
from elman.data.token_set import TokenSet as TokenSet
from elman.data.tokenizers import Tokenizer as Tokenizer
