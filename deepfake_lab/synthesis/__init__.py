"""Synthesis systems that make spoofed speech: vocoders copy a recording, text-to-speech systems speak a sentence."""
