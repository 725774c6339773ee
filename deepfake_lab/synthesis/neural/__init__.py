"""Neural vocoders that the lab trains itself, on the bona fide speech of a corpus."""
