"""`python -m pipeline`: list and run the commands."""

from engine.cli import dispatch

COMMANDS = {
    "run": ("pipeline.run", "The whole chain: prepare, train, fine-tune, evaluate; each step only where needed."),
    "evaluate_dataset": ("pipeline.evaluate_dataset", "Evaluate a split with every control and write a report."),
    "evaluate_protocol": ("pipeline.evaluate_protocol", "Evaluate on a published test set by its own protocol."),
    "choose-threshold": ("pipeline.choose_threshold", "Choose a threshold on development people and write it down."),
    "compare": ("pipeline.compare", "Set several reports, or embeddings of other recognisers, against each other."),
    "export": ("pipeline.export", "Export the recogniser for low-power devices, with a parity check."),
    "gallery": ("pipeline.gallery", "List, remove or export enrolled people."),
    "enroll": ("pipeline.enroll", "Enrol people's photographs in a gallery."),
    "identify": ("pipeline.identify", "Search a face in a gallery."),
    "verify": ("pipeline.verify", "Compare two faces."),
    "demo": ("pipeline.demo", "Try the recogniser in a browser."),
}

if __name__ == "__main__":
    dispatch("pipeline", "Evaluate, compare, enrol, identify and export the recogniser.", COMMANDS)
