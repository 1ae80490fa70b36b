"""`python -m facial_rec`: what can be done with an EdgeFace."""

from engine.cli import dispatch

if __name__ == "__main__":
    dispatch(
        "facial_rec",
        "EdgeFace weights and embeddings.",
        {
            "inspect": ("facial_rec.inspect_weights", "Say what a weights file is"),
            "convert": ("facial_rec.convert_weights", "Write weights in another container or precision"),
            "list": ("facial_rec.list_weights", "List the EdgeFace variants and where their files are"),
            "get": ("facial_rec.get_weights", "Fetch a published file from the model hub"),
            "embed": ("facial_rec.embed_images", "Embed the faces of a folder"),
            "compare": ("facial_rec.compare_weights", "Compare two weights files on a folder of faces"),
            "train_edgeface": (
                "facial_rec.train_edgeface",
                "Train a small EdgeFace from scratch, without official weights",
            ),
            "finetune_edgeface": ("facial_rec.finetune_edgeface", "Fine-tune EdgeFace on the super-resolver's outputs"),
            "merge": ("facial_rec.merge", "Merge an adapter into its weights"),
        },
    )
