"""A character model trained by ``elman.reference``: NumPy, truncated backpropagation through time, and nothing else.

    python examples/reference_char_rnn.py

In some ten seconds an LSTM learns to spell the short words of one tale, and tells a little of its own.
"""

from __future__ import annotations

import numpy as np

from elman.data import corpus_folder
from elman.reference import lstm, readout, tbptt

HIDDEN, BATCH, K1, K2, RATE, CLIP = 64, 16, 20, 40, 0.1, 5.0


def load() -> tuple[str, np.ndarray]:
    """The alphabet of the first embedded tale, and the tale as ids (T, BATCH): BATCH pieces read side by side."""
    text = min(corpus_folder("tales").glob("*.txt")).read_text("utf-8").lower()
    alphabet = "".join(sorted(set(text)))
    ids = np.array([alphabet.index(character) for character in text])
    return alphabet, ids[: len(ids) // BATCH * BATCH].reshape(BATCH, -1).T


def train(alphabet: str, ids: np.ndarray, epochs: int, rng: np.random.Generator) -> tuple[dict, dict, list[float]]:
    """The net, the read-out and the loss of every window, by AdaGrad with clipped gradients."""
    net, out = lstm.start(len(alphabet), HIDDEN, rng), readout.start(HIDDEN, len(alphabet), rng)
    net["bias_ih"][HIDDEN : 2 * HIDDEN] += 1.0  # the forget gate starts open
    memory = [{name: np.full_like(each, 1e-8) for name, each in params.items()} for params in (net, out)]
    one_hot, losses = np.eye(len(alphabet))[ids], []
    for _ in range(epochs):
        for loss, *gradients in tbptt(lstm, net, out, one_hot[:-1], ids[1:], K1, K2):
            losses.append(loss)
            norm = np.sqrt(sum((each**2).sum() for of in gradients for each in of.values()))
            for params, of, squares in zip((net, out), gradients, memory, strict=True):
                for name in params:
                    gradient = of[name] * min(1.0, CLIP / norm)
                    squares[name] += gradient**2
                    params[name] -= RATE * gradient / np.sqrt(squares[name])
    return net, out, losses


def tell(net: dict, out: dict, alphabet: str, length: int, rng: np.random.Generator) -> str:
    """``length`` characters, each drawn from the softmax and fed back."""
    state, story = None, " "
    while len(story) <= length:
        x = np.eye(len(alphabet))[[[alphabet.index(story[-1])]]]  # (1, 1, V)
        y, state, _ = lstm.forward(net, x, state)
        scores = readout.forward(out, y)[0, 0] / 0.7
        p = np.exp(scores - scores.max())
        story += alphabet[rng.choice(len(alphabet), p=p / p.sum())]
    return story[1:]


def main(epochs: int = 20) -> list[float]:
    """Trains, prints the loss on the way and a sample, and returns the losses."""
    rng = np.random.default_rng(0)
    alphabet, ids = load()
    net, out, losses = train(alphabet, ids, epochs, rng)
    windows = len(losses) // epochs
    for epoch in range(0, epochs, max(1, epochs // 5)):
        mean = np.mean(losses[epoch * windows : (epoch + 1) * windows])
        print(f"epoch {epoch + 1:2}: {mean:.2f} nats a character, perplexity {np.exp(mean):.1f} of {len(alphabet)}")
    print(tell(net, out, alphabet, 200, rng))
    return losses


if __name__ == "__main__":
    main()
