"""From annotation files to clips: index, decode, sample, process, cache, load."""
