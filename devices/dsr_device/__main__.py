"""`dsr-device`: list and run the commands that need no torch."""

from typing import NoReturn

from engine.cli import dispatch

COMMANDS = {
    "enroll": ("pipeline.enroll", "Enrol people's photographs in a gallery."),
    "identify": ("pipeline.identify", "Search faces in a gallery."),
    "verify": ("pipeline.verify", "Compare two faces."),
    "gallery": ("pipeline.gallery", "List, remove or export enrolled people."),
    "demo": ("pipeline.demo", "Try the recogniser in a browser."),
}


def main() -> NoReturn:
    """Run the command that the arguments name."""
    dispatch("dsr_device", "Recognise faces of a few pixels.", COMMANDS)


if __name__ == "__main__":
    main()
