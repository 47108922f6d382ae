"""One customer as people look at it: the genome in words and bars, on a page, in JSON, in a terminal."""
