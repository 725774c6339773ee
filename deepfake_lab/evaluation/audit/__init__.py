"""What is wrong with a corpus: cues that part the classes, overlap between splits, and too little of something."""
