"""How vidmini is drawn: from strokes to a clip with everything that happens in it."""
