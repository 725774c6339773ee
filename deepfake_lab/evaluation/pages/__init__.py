"""What people read in a browser, a repository or a terminal: pages of runs, leaderboards and audits."""
