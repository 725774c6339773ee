"""Many runs: which there are, how they are done as processes of their own, what they leave."""
