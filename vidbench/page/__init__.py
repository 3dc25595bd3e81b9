"""What a report shows, a file for each part; ``vidbench.report`` puts them together."""
