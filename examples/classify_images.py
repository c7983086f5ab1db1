"""The same small images read three ways: row by row, pixel by pixel, and by sliding patches.

With images of your own, in MNIST's format or in a folder with a folder of pictures for each label, it is one command:

    elman train classify --data train-images-idx3-ubyte.gz --recipe image-rows

    python examples/classify_images.py
"""

from __future__ import annotations

from glyphs import glyphs

from elman import Classifier

READINGS: dict[str, dict[str, object]] = {
    "rows": {"cell": "gru"},
    "patches": {"cell": "gru", "patch": 5, "stride": 2},
    "pixels": {"cell": "cornn", "cell_args": {"dt": 0.2}},
}


def main() -> None:
    """Trains three models for some seconds each; shows an image, and how many of new images each reads right."""
    X, y = glyphs(2000, seed=0)
    new, truth = glyphs(500, seed=1)
    print("\n".join("".join(" .:+#@"[pixel // 43] * 2 for pixel in row) for row in X[0]), f"\nshows a {y[0]}\n")
    for read_as, options in READINGS.items():
        model = Classifier(
            read_as=read_as, **options, hidden_size=48, epochs=12, learning_rate=1e-2, schedule="cosine", threads=1
        )
        model.fit(X, y)
        print(f"{read_as:<8} {model.score(new, truth):.1%} of new images right")


if __name__ == "__main__":
    main()
