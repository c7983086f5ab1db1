"""The network of each task shape."""

from .captioner import CaptionNet as CaptionNet
from .classifier import ClassifierNet as ClassifierNet
from .crf import CRF as CRF
from .decoder import DecoderNet as DecoderNet
from .decoder import DecoderState as DecoderState
from .language_model import LanguageNet as LanguageNet
from .scene import SceneNet as SceneNet
from .seq2seq import Seq2SeqNet as Seq2SeqNet
from .tagger import TaggerNet as TaggerNet
