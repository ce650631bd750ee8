"""Full training: a candidate, a recipe and a data set become a network and a folder that tells how."""
