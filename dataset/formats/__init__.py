"""The field's own files, each read as a `Source`: records of images and whose they are, without unpacking them."""
