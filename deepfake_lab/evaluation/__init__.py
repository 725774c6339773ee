"""From scores to what is reported: score table, intervals, summary, sanity checks and plots."""
