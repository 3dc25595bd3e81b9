"""A card for each set of weights, a file for each family of networks."""
