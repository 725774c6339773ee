"""From a trained detector to a verdict: recordings, streams, a service."""
